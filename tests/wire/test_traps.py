"""The traps of the services' protocols that show only in a whole request, a whole file or a whole run; and the list.

The traps are the numbered table of PROTOCOLS.md; a test that is about one names its number.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from support.client import CAT, FAKE_KEY, KEY_NAME, Client, Seen, ended, found, serving

from pipeline.errors import Fault
from pipeline.media.limits import FitOptions
from pipeline.media.load import load as load_media
from pipeline.media.refs import to_media, to_path
from pipeline.offline.service_options import ServiceOptions
from pipeline.providers import NAMES, load, models, tokens
from pipeline.providers.media_options import image_limits
from pipeline.types import Image, Loaded, Request, Text, Turn

TESTS = Path(__file__).parents[1]
NATIVE = {"name": "dashscope", "model": "qwen3-vl-plus"}
OPENAI = {"name": "openai", "model": "any/model"}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def numbers(text: str) -> set[int]:
    """The numbers after the word, in a name or in a sentence: several, with commas and `and` between them."""
    spans = re.findall(r"(?i)traps?[_ ]((?:\d{1,2}|[_, ]|and(?=[_ ]))+)", text)
    return {int(number) for span in spans for number in re.findall(r"\d+", span)}


def test_each_of_the_66_traps_is_named_by_a_test() -> None:
    named: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        named |= numbers(path.read_text(encoding="utf-8"))
    assert set(range(1, 67)) - named == set()


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("status", [300, 400, 401, 403, 404, 429, 500, 599])
def test_trap_51_an_error_is_raised_and_never_returned_as_an_answer(provider: str, status: int) -> None:
    answer = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], "id": "i"}
    native = {"output": {"choices": [{"message": {"content": [{"text": "hi"}]}, "finish_reason": "stop"}]}}
    event = b"data: " + json.dumps(native).encode() + b"\n\n"
    for body in (b"", b"no", json.dumps(answer).encode(), json.dumps(native).encode(), event):
        reader = load(provider).reader(Request(task="ask", model="m"), models.find(provider, "m"), status, {})
        reader.feed(body)
        with pytest.raises(Fault) as caught:
            reader.end()
        assert caught.value.http_status == status


@pytest.mark.parametrize("provider", [NATIVE, OPENAI])
def test_trap_52_throttled_and_broken_streams_are_sent_again_and_no_text_is_doubled(
    tmp_path: Path, provider: dict[str, Any]
) -> None:
    row = [{"id": "a", "prompt": "Tell me at some length what you can do for me."}]
    with serving() as service:
        (whole,) = Client(tmp_path, service.url).answers(row, provider=provider)
    with serving(ServiceOptions(script=("429", "cut", "500"))) as service:
        (tmp_path / "stream").mkdir()
        job = Client(tmp_path / "stream", service.url).job(row, provider={**provider, "stream": True})
        assert ended(job.run()) == (0, "finished", 1, 0, 0)
    assert found(job, "select answer, attempt_count from results") == [{"answer": whole["answer"], "attempt_count": 4}]
    faults = found(job, "select fault from attempts order by attempt")
    assert [one["fault"] for one in faults] == ["throttled", "transient", "transient", None]


def test_trap_54_a_limit_per_minute_is_kept_per_second_too(tmp_path: Path) -> None:
    with serving(ServiceOptions(rpm=600, per_second=True)) as service:
        rows = [{"id": f"{number}", "prompt": f"Hello {number}"} for number in range(25)]
        job = Client(tmp_path, service.url).job(rows, provider=NATIVE, limits={"rpm": 500, "concurrency": 25})
        assert ended(job.run()) == (0, "finished", 25, 0, 0)
    assert found(job, "select count(*) as n from attempts where fault is not null") == [{"n": 0}]


def test_trap_58_base64_is_measured_as_it_is_sent_and_decoded_as_the_service_counts(tmp_path: Path) -> None:
    path = tmp_path / "eight-megabytes.bmp"
    Pillow.new("RGB", (1650, 1616), "navy").save(path)
    size = path.stat().st_size
    assert size < 10_485_760 < size * 4 / 3
    media = to_media(str(path), "image", "/")
    qwen, ernie = models.find("dashscope", "qwen3-vl-plus"), models.find("qianfan", "ernie-4.5-8k-preview")
    with pytest.raises(Fault) as caught:
        load_media(media, image_limits(qwen, "base64", {}), FitOptions(resize="off"))
    assert caught.value.code == "Local.TooLarge"
    assert load_media(media, image_limits(qwen, "upload", {}), FitOptions(resize="off")).body == path.read_bytes()
    assert load_media(media, image_limits(ernie, "base64", {}), FitOptions(resize="off")).body == path.read_bytes()
    fitted = load_media(media, image_limits(qwen, "base64", {}))
    assert len(fitted.body or b"") * 4 / 3 < 10_485_760
    assert fitted.changed


@pytest.mark.parametrize("provider", [NATIVE, OPENAI])
def test_trap_59_answers_under_one_id_are_all_kept(tmp_path: Path, provider: dict[str, Any]) -> None:
    def same(seen: Seen) -> tuple[int, bytes]:
        prompt = "Hello 1" if b"Hello 1" in seen.body else "Hello 0"
        message = {"role": "assistant", "content": prompt if provider is OPENAI else [{"text": prompt}]}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = {"choices": choices, "id": "the-same"} if provider is OPENAI else {"output": {"choices": choices}}
        return 200, json.dumps({**body, "request_id": "the-same"}).encode()

    rows = [{"id": f"{number}", "prompt": f"Hello {number}"} for number in range(2)]
    with serving(instead=same) as service:
        answers = Client(tmp_path, service.url).answers(rows, provider=provider)
    assert [(one["id"], one["answer"], one["request_id"]) for one in answers] == [
        ("0", "Hello 0", "the-same"),
        ("1", "Hello 1", "the-same"),
    ]


def test_trap_60_several_pictures_count_each_though_a_printed_sample_says_otherwise() -> None:
    model = models.find("dashscope", "qwen-vl-plus")
    picture = Image(Loaded(kind="image", source="x", url="https://x/y.jpg", width=1536, height=1024))

    def estimated(count: int) -> int:
        turn = Turn(role="user", parts=(*([picture] * count), Text("这些是什么")))
        estimate = tokens.estimate(Request(task="ask", model=model.name, turns=(turn,)), model, upper=False)
        assert estimate is not None
        return estimate

    assert estimated(3) - estimated(1) == 2 * (1247 + 2)


def test_trap_64_a_plus_in_a_file_url_is_a_plus(tmp_path: Path) -> None:
    assert to_path("file:///a/b+c%20d%2Be.jpg", "/") == "/a/b+c d+e.jpg"
    shutil.copy(CAT, tmp_path / "a+b c.jpg")
    rows = [{"id": "a", "image": f"file://{tmp_path}/a+b%20c.jpg", "prompt": "Describe this picture."}]
    with serving() as service:
        (answer,) = Client(tmp_path, service.url).answers(rows, provider=NATIVE)
        assert b"a+b c.jpg" in service.asked("/oss/")[0].body
    assert "cat" in answer["answer"].lower()
