"""Every sample of the services' documents is a manifest row, and the row gives the documented request."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.asking import UPLOADED, Asking
from support.captures import NAMES, REQUIRED_HEADERS, comparable, exchanges, header_table
from support.client import BASES, FAKE_KEY, KEY_NAME, Client, Service, pictures, serving
from support.document_samples import LOCAL, SAMPLES, Sample, filled, settings
from support.pictures import drawn, encoded

from pipeline.types import HttpRequest

STRING = "qianfan__web_search"
"""The one capture of Qianfan whose first question is a string: that SDK sends what it is given."""
NO_ROWS = {
    "ds202__mm_text_equals_local_path": "the SDK uploads a text as a file; a text is never read as a path (trap 23)",
    "ds202__mm_stream_incremental_false_llama": "the SDK sends a parameter that the model refuses (trap 5)",
    "ds202__mm_local_missing": "nothing was sent",
    "ds202__mm_local_oss_403": "only a certificate and an upload; see test_golden_uploads",
    "ds202__mm_local_policy_denied": "only a certificate; see test_golden_uploads",
    "oai352__ds_batch_lifecycle": "the file batch interface",
    "seed4__error_invalid_api_key": "a reply without its request",
    "seed4__success_repaired": "a reply without its request",
}
UNCAPTURED = [sample for sample in SAMPLES if not sample.captures]
CASES = [pytest.param(sample, capture, id=capture) for sample in SAMPLES for capture in sample.captures]
QIANFAN = [case for case in CASES if case.values[0].provider["name"] == "qianfan" and case.values[1] != STRING]
ROUNDS = [case for case in CASES if case.values[0].again is not None]
JOBS = [list(group) for _, group in groupby(sorted(SAMPLES, key=settings), key=settings)]
"""Samples under equal settings are rows of one job."""
HOSTED = {
    "image": "texts/bilingual_card.jpg",
    "images": "photos/coffee.jpg",
    "frames": "frames/ball/frame_1.jpg",
    "video": "videos/ball.mp4",
    "audio": "sounds/chime.flac",
}
PICTURE = encoded(drawn(32, 32), "PNG")
DATA_URL = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    for name in (LOCAL, "图 片.png"):
        (tmp_path / name).write_bytes(PICTURE)
    return Asking(tmp_path)


def asked(asking: Asking, sample: Sample, row: dict[str, Any], capture: str, replies: list[bytes]) -> list[HttpRequest]:
    marks = {"{data}": DATA_URL, "{answer}": "".join(answers(capture)[:1]) if capture else ""}
    protocol = sample.provider.get("protocol", "native" if sample.provider["name"] == "dashscope" else "openai")
    base = f"https://service.example{BASES[sample.provider['name'], protocol]}"
    provider = {**sample.provider, "api_key_env": KEY_NAME, "base_url": base}
    return asking.requests(filled(row, marks), replies, task=sample.task, provider=provider, prompt=sample.prompt)


def captured(capture: str) -> list[dict[str, Any]]:
    """The requests of a capture; equal ones, which are one request tried again, once."""
    found: list[dict[str, Any]] = []
    for one in (exchange["request"] for exchange in exchanges(capture)):
        again = bool(found) and one.get("body_json") == found[-1]["body_json"]
        if one["method"] == "POST" and "body_json" in one and not again:
            found.append(one)
    return found


def messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body.get("input", body).get("messages", [])
    return found


def answers(capture: str) -> list[str]:
    """What the assistant says in the last request of a capture."""
    said = [m["content"] for m in messages(captured(capture)[-1]["body_json"]) if m["role"] == "assistant"]
    return [content if isinstance(content, str) else content[0]["text"] for content in said]


def reply(text: str, path: str) -> bytes:
    """A whole answer as the service of this path gives it."""
    if path.startswith("/api/v1"):
        message = {"role": "assistant", "content": [{"text": text}]}
        return json.dumps({"output": {"choices": [{"finish_reason": "stop", "message": message}]}}).encode()
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return json.dumps({"choices": [choice]}).encode()


def with_our_picture(value: Any, url: str) -> Any:
    """A captured value with our picture for the picture of one pixel that the captures hold."""
    if isinstance(value, str):
        return url if value.startswith("data:image/") else value
    if isinstance(value, dict):
        return {key: with_our_picture(inner, url) for key, inner in value.items()}
    return [with_our_picture(inner, url) for inner in value] if isinstance(value, list) else value


def assert_same(ours: HttpRequest, theirs: dict[str, Any], sample: Sample) -> None:
    parts, headers = urlsplit(ours.url), header_table(ours.headers)
    assert (ours.method, parts.path, dict(parse_qsl(parts.query))) == ("POST", theirs["path"], theirs["query"])
    picture = f"{UPLOADED}image.png" if sample.explained else DATA_URL
    assert comparable(json.loads(ours.body)) == comparable(with_our_picture(theirs["body_json"], picture))
    required = {name: value for name in REQUIRED_HEADERS if (value := header_table(theirs["headers"]).get(name))}
    if sample.explained:
        required["x-dashscope-ossresourceresolve"] = "enable"
    assert {name: headers[name] for name in REQUIRED_HEADERS if name in headers} == required
    assert headers["authorization"] == f"Bearer {FAKE_KEY}"
    assert headers["content-type"] == "application/json"


def test_every_capture_is_a_sample_or_named_with_a_reason() -> None:
    held = [capture for sample in SAMPLES for capture in sample.captures]
    assert sorted([*held, *NO_ROWS]) == NAMES


@pytest.mark.parametrize(("sample", "capture"), CASES)
def test_a_sample_row_gives_the_documented_request(asking: Asking, sample: Sample, capture: str) -> None:
    theirs = captured(capture)
    replies = [reply(text, theirs[-1]["path"]) for text in answers(capture)]
    ours = asked(asking, sample, sample.row, capture, replies)
    assert len(ours) == len(replies) + 1 >= len(theirs)
    for mine, documented in zip(reversed(ours), reversed(theirs), strict=False):
        assert_same(mine, documented, sample)


@pytest.mark.parametrize("sample", UNCAPTURED)
def test_a_sample_without_a_capture_gives_its_body(asking: Asking, sample: Sample) -> None:
    (ours,) = asked(asking, sample, sample.row, "", [])
    assert_same(ours, {"path": sample.path, "query": {}, "headers": [], "body_json": sample.body}, sample)


@pytest.mark.parametrize(("sample", "capture"), ROUNDS)
def test_a_second_round_as_earlier_turns_is_the_same(asking: Asking, sample: Sample, capture: str) -> None:
    assert sample.again is not None
    (ours,) = asked(asking, sample, sample.again, capture, [])
    assert_same(ours, captured(capture)[-1], sample)


@pytest.mark.parametrize(("sample", "capture"), QIANFAN)
def test_qianfan_messages_are_the_documents_own_bytes(asking: Asking, sample: Sample, capture: str) -> None:
    theirs = with_our_picture(captured(capture)[-1]["body_json"]["messages"], DATA_URL)
    written = json.dumps(theirs, ensure_ascii=False, separators=(",", ":")).encode()
    replies = [reply(text, "/v2") for text in answers(capture)]
    rows = [(sample.row, replies)] if sample.again is None else [(sample.row, replies), (sample.again, [])]
    for row, told in rows:
        assert b'"messages":' + written in asked(asking, sample, row, capture, told)[-1].body


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with pictures() as url:
        yield url


def hosted(value: Any, host: str, key: str = "") -> Any:
    """A row with our own pictures, sounds and videos, by URL, in the place of the documents' ones."""
    if isinstance(value, dict):
        return {name: hosted(inner, host, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [hosted(inner, host, key) for inner in value]
    if key not in HOSTED or not isinstance(value, str):
        return value
    if value.startswith("oss://"):
        return LOCAL
    return f"{host}/{HOSTED[key]}" if value.startswith("https://") else value


@pytest.mark.parametrize("samples", JOBS)
def test_the_embedded_service_answers_every_sample(
    asking: Asking, service: Service, host: str, samples: list[Sample]
) -> None:
    forms = [form for sample in samples for form in (sample.row, sample.again) if form is not None]
    marks = {"{data}": DATA_URL, "{answer}": "The first image depicts a field."}
    rows = [{"id": f"{number:02}", **filled(hosted(form, host), marks)} for number, form in enumerate(forms)]
    one = samples[0]
    client = Client(asking.folder, service.url)
    if one.unserved:
        summary = client.job(rows, task=one.task, provider=one.provider, prompt=one.prompt).run()
        assert [group.message for group in summary.failures] == [one.unserved]
        return
    answers = client.answers(rows, task=one.task, provider=one.provider, prompt=one.prompt)
    for form, answer in zip(forms, answers, strict=True):
        if one.task == "embed":
            assert len(answer["embedding"]) == 1536
        else:
            assert answer["ocr_text" if one.task == "ocr" else "answer"].strip()
        extra = json.loads(answer["extra"] or "{}")
        assert len(extra.get("answers", ())) == len(form.get("prompts", ()))
