"""Every sample of the services' documents is a manifest row, and the row gives the documented request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.asking import DATA_URL, UPLOADED, Asking
from support.captures import (
    NAMES,
    REQUIRED_HEADERS,
    comparable,
    header_table,
    messages_of,
    posted,
    replaced_pictures,
    said_before,
    whole_reply,
)
from support.client import FAKE_KEY, KEY_NAME, Client, Service, pictures, serving
from support.document_samples import LOCAL, SAMPLES, Sample, filled, settings

from pipeline.types import HttpRequest

STRING = "qianfan__web_search"
"""The one capture of Qianfan whose first question is a string: that SDK sends what it is given."""
# Traps: rows of PROTOCOLS.md §6.
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


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    return Asking(tmp_path)


def assert_same(ours: HttpRequest, theirs: dict[str, Any], sample: Sample) -> None:
    parts, headers = urlsplit(ours.url), header_table(ours.headers)
    assert (ours.method, parts.path, dict(parse_qsl(parts.query))) == ("POST", theirs["path"], theirs["query"])
    picture = f"{UPLOADED}image.png" if sample.explained else DATA_URL
    assert comparable(json.loads(ours.body)) == comparable(replaced_pictures(theirs["body_json"], picture))
    required = {name: value for name in REQUIRED_HEADERS if (value := header_table(theirs["headers"]).get(name))}
    if sample.explained:
        required["x-dashscope-ossresourceresolve"] = "enable"
    assert {name: headers[name] for name in REQUIRED_HEADERS if name in headers} == required
    assert headers["authorization"] == f"Bearer {FAKE_KEY}"
    assert headers["content-type"] == "application/json"


def test_every_capture_is_a_sample_or_named_with_a_reason() -> None:
    held = [capture for sample in SAMPLES for capture in sample.captures]
    assert sorted([*held, *NO_ROWS]) == NAMES


def replies(theirs: dict[str, Any]) -> list[bytes]:
    """The answers that the earlier turns of a request hold."""
    return [whole_reply(text, theirs["path"]) for text in said_before(theirs["body_json"])]


def again(asking: Asking, sample: Sample, theirs: dict[str, Any]) -> HttpRequest:
    """The request of a second round that is written as earlier turns."""
    assert sample.again is not None
    (ours,) = asking.sample(sample, sample.again, [], said_before(theirs["body_json"])[0])
    return ours


@pytest.mark.parametrize(("sample", "capture"), CASES)
def test_a_sample_row_gives_the_documented_request(asking: Asking, sample: Sample, capture: str) -> None:
    theirs = posted(capture)
    told = replies(theirs[-1])
    ours = asking.sample(sample, sample.row, told, "")
    assert len(ours) == len(told) + 1 >= len(theirs)
    for mine, documented in zip(reversed(ours), reversed(theirs), strict=False):
        assert_same(mine, documented, sample)


@pytest.mark.parametrize("sample", UNCAPTURED)
def test_a_sample_without_a_capture_gives_its_body(asking: Asking, sample: Sample) -> None:
    (ours,) = asking.sample(sample, sample.row, [], "")
    assert_same(ours, {"path": sample.path, "query": {}, "headers": [], "body_json": sample.body}, sample)


@pytest.mark.parametrize(("sample", "capture"), ROUNDS)
def test_a_second_round_as_earlier_turns_is_the_same(asking: Asking, sample: Sample, capture: str) -> None:
    theirs = posted(capture)[-1]
    assert_same(again(asking, sample, theirs), theirs, sample)


@pytest.mark.parametrize(("sample", "capture"), QIANFAN)
def test_qianfan_messages_are_the_documents_own_bytes(asking: Asking, sample: Sample, capture: str) -> None:
    theirs = posted(capture)[-1]
    messages = replaced_pictures(messages_of(theirs["body_json"]), DATA_URL)
    written = b'"messages":' + json.dumps(messages, ensure_ascii=False, separators=(",", ":")).encode()
    assert written in asking.sample(sample, sample.row, replies(theirs), "")[-1].body
    if sample.again is not None:
        assert written in again(asking, sample, theirs).body


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
    tables: dict[str, Any] = {"provider": one.provider, "prompt": one.prompt, "dedupe": {"equal": False}}
    if one.unserved:
        summary = client.job(rows, task=one.task, **tables).run()
        assert [group.message for group in summary.failures] == [one.unserved]
        return
    answers = client.answers(rows, task=one.task, **tables)
    for form, answer in zip(forms, answers, strict=True):
        if one.task == "embed":
            assert len(answer["embedding"]) == 1536
        else:
            assert answer["ocr_text" if one.task == "ocr" else "answer"].strip()
        extra = json.loads(answer["extra"] or "{}")
        assert len(extra.get("answers", ())) == len(form.get("prompts", ()))
