"""The official clients send the same requests for every documented sample, or the difference has its reason here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.asking import Asking
from support.captures import REQUIRED_HEADERS, header_table, messages_of, posted, said_before, whole_reply
from support.client import FAKE_KEY, KEY_NAME, Seen, Service
from support.document_samples import SAMPLES, Sample
from support.official import ANSWER, Documented, answering, with_dashscope, with_openai, with_qianfan

from pipeline.types import HttpRequest

Body = dict[str, Any]
CLIENTS = {"dashscope": with_dashscope, "openai": with_openai, "qianfan": with_qianfan}
DIFFERENCES = {
    "dashscope": {
        "factor": "the client sends a factor as given; here a text becomes a number (PROTOCOLS.md trap 16)",
        "text or list": "the client sends a string as it is given; the native protocol is documented with lists",
        "upload": "object names differ; and a data: URL is uploaded here, so that base64's 10 MB are no bound (§3.7)",
    },
    "openai": {
        "null keys": "model_dump holds null keys; here an earlier turn is its role and content (PROTOCOLS.md trap 49)",
        "stream: false": "the page states the default",
        "stream_options": "a stream asks for its usage here, else its cost would not be known (PROTOCOLS.md trap 10)",
        "text or list": "the client sends a string as it is given; a first question is a list of parts here",
    },
    "qianfan": {
        "extra_parameters": "the client's own mark",
        "stream: false": "the client states the default",
        "stream_options": "a stream asks for its usage here, else its cost would not be known (PROTOCOLS.md trap 10)",
        "text or list": "the client sends a string as it is given; a first question is a list of parts here",
    },
}
"""Client → difference → its reason. Each occurs in some sample."""
OWN_HEADERS = re.compile(
    r"user-agent|accept|accept-encoding|connection|host|content-length|x-accel-buffering|request_id"
    r"|x-dashscope-sdk-.*|x-stainless-.*"
)
"""Headers about the client or the connection."""


def popped(*names: str) -> Callable[[Body], None]:
    def step(body: Body) -> None:
        for name in names:
            body.pop(name, None)

    return step


def without_stream_false(body: Body) -> None:
    if body.get("stream") is False:
        del body["stream"]


def without_nulls(body: Body) -> None:
    for message in messages_of(body):
        for key in [key for key, value in message.items() if value is None]:
            del message[key]


def as_lists(body: Body) -> None:
    kind = {} if "input" in body else {"type": "text"}
    for message in messages_of(body):
        if isinstance(message["content"], str):
            message["content"] = [{**kind, "text": message["content"]}]


def factors_as_numbers(body: Body) -> None:
    for item in body.get("input", {}).get("contents", []):
        if "factor" in item:
            item["factor"] = float(item["factor"])


def with_one_reference(body: Body) -> None:
    """The same name for the upload of every file, and for a file's data."""
    text = json.dumps(body, ensure_ascii=False)
    body.clear()
    body.update(json.loads(re.sub(r'"(oss://dashscope-instant/[^"]*/|data:image/)[^"]*"', '"a file"', text)))


STEPS: dict[str, Callable[[Body], None]] = {
    "stream_options": popped("stream_options"),
    "stream: false": without_stream_false,
    "extra_parameters": popped("extra_parameters"),
    "null keys": without_nulls,
    "text or list": as_lists,
    "factor": factors_as_numbers,
    "upload": with_one_reference,
}


def leaves(value: Any, path: str = "") -> set[str]:
    """Every value of a body with its place."""
    if isinstance(value, dict):
        return {f"{path} {{}}", *(one for key, inner in value.items() for one in leaves(inner, f"{path}.{key}"))}
    if isinstance(value, list):
        return {f"{path} []", *(one for index, inner in enumerate(value) for one in leaves(inner, f"{path}.{index}"))}
    return {f"{path} {value!r}"}


def differences(ours: Body, theirs: Body, sample: Sample) -> set[str]:
    """The names of the steps that bring two bodies together. Fails where they do not."""
    found, gap = set(), leaves(ours) ^ leaves(theirs)
    for name, step in STEPS.items():
        step(ours)
        step(theirs)
        left = leaves(ours) ^ leaves(theirs)
        if left != gap:
            found.add(name)
        gap = left
    assert gap == set(), sample.row
    return found


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with answering() as found:
        yield found


def documented(sample: Sample, folder: Path) -> Documented:
    if not sample.captures:
        theirs: dict[str, Any] = {"path": sample.path, "headers": [], "body_json": sample.body}
        if sample.provider.get("stream"):
            theirs["headers"] = [["X-DashScope-SSE", "enable"]]
    else:
        theirs = posted(sample.captures[0])[-1]
    return Documented(theirs, folder)


def assert_same_headers(ours: HttpRequest, theirs: Seen, sample: Sample) -> None:
    mine = header_table(ours.headers)
    if sample.explained:  # uploaded here, sent as data there
        del mine["x-dashscope-ossresourceresolve"]
    required = {name: value for name in REQUIRED_HEADERS if (value := mine.get(name)) is not None}
    assert {name: theirs.headers[name] for name in REQUIRED_HEADERS if name in theirs.headers} == required
    assert theirs.headers["authorization"] == mine["authorization"] == f"Bearer {FAKE_KEY}"
    assert theirs.headers["content-type"].split(";")[0] == mine["content-type"]
    named = {*mine, *REQUIRED_HEADERS}
    assert [name for name in theirs.headers if name not in named and not OWN_HEADERS.fullmatch(name)] == []


def clients_of(sample: Sample) -> list[str]:
    if sample.provider["name"] == "qianfan":
        return ["openai", "qianfan"]
    return ["openai"] if sample.provider.get("protocol") == "openai" else ["dashscope"]


@pytest.mark.parametrize(
    "client", [pytest.param(name, marks=[pytest.mark.qianfan] if name == "qianfan" else []) for name in CLIENTS]
)
def test_a_client_sends_the_same_or_the_difference_is_named(
    client: str, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    asking, found = Asking(tmp_path), set[str]()
    for sample in SAMPLES:
        if client not in clients_of(sample):
            continue
        given = documented(sample, tmp_path)
        service.seen.clear()
        CLIENTS[client](given, service, monkeypatch)
        theirs = [seen for seen in service.seen if seen.path == given.path]
        told = [whole_reply(ANSWER, given.path)] * (len(theirs) - 1)
        ours = asking.sample(sample, sample.row, told, "")
        assert len(theirs) == len(said_before(given.body)) + 1
        for mine, official in zip(ours, theirs, strict=True):
            found |= differences(json.loads(mine.body), official.json, sample)
            assert_same_headers(mine, official, sample)
    assert found == DIFFERENCES[client].keys()
