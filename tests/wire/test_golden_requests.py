"""Our requests against the official clients' captured ones: method, path, query, required headers, parsed body."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl, urlsplit

import pytest
from support.captures import (
    NAMES,
    REQUIRED_HEADERS,
    asked,
    comparable,
    endpoint_of,
    exchanges,
    header_table,
    provider_of,
)

from pipeline.errors import Fault
from pipeline.providers import load, models

# Traps: rows of PROTOCOLS.md §6.
NOT_OURS = {
    "ds202__mm_text_equals_local_path": "the SDK uploads a text as a file (trap 23); see test_golden_uploads",
    "ds202__mm_stream_incremental_false_llama": "the SDK sends a parameter that the model refuses (trap 5)",
    "oai352__ds_batch_lifecycle": "the file batch interface",
    "ds202__mm_local_missing": "nothing was sent",
    "ds202__mm_local_policy_denied": "only a certificate; see test_golden_uploads",
    "seed4__error_invalid_api_key": "a reply without its request",
    "seed4__success_repaired": "a reply without its request",
}


def generation_requests(name):
    found = [e["request"] for e in exchanges(name) if e["request"] is not None]
    return [r for r in found if r["method"] == "POST" and "body_json" in r]


CASES = [(name, i) for name in NAMES if name not in NOT_OURS for i in range(len(generation_requests(name)))]


def encoded(captured):
    request = asked(captured)
    endpoint = endpoint_of(captured)
    provider = load(endpoint.provider)
    model = models.find(endpoint.provider, request.model)
    return request, provider.encode(request, model, endpoint)


def test_every_capture_is_compared_or_named_with_a_reason():
    without = [name for name in NAMES if name not in NOT_OURS and not generation_requests(name)]
    assert without == ["ds202__mm_local_oss_403"]
    assert set(NOT_OURS) <= set(NAMES)
    assert len(CASES) >= 75


@pytest.mark.parametrize(("name", "index"), CASES)
def test_our_request_equals_the_captured_one(name, index):
    captured = generation_requests(name)[index]
    _, http = encoded(captured)
    parts = urlsplit(http.url)
    assert http.method == captured["method"]
    assert parts.path == captured["path"]
    assert dict(parse_qsl(parts.query)) == captured["query"]
    assert comparable(json.loads(http.body)) == comparable(captured["body_json"])
    ours, theirs = header_table(http.headers), header_table(captured["headers"])
    assert {h: ours.get(h) for h in REQUIRED_HEADERS} == {h: theirs.get(h) for h in REQUIRED_HEADERS}
    assert ours["authorization"] == theirs["authorization"]
    assert ours["content-type"].split(";")[0] == theirs["content-type"].split(";")[0] == "application/json"


@pytest.mark.parametrize(("name", "index"), CASES)
def test_encoding_twice_gives_equal_bytes_and_shows_no_key(name, index):
    captured = generation_requests(name)[index]
    _, first = encoded(captured)
    _, second = encoded(captured)
    assert first == second
    assert "redacted" not in repr(first)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_OURS])
def test_native_bodies_always_hold_parameters(name):
    """Trap 31."""
    for captured in generation_requests(name):
        if provider_of(captured["path"])[1] == "native":
            _, http = encoded(captured)
            assert isinstance(json.loads(http.body)["parameters"], dict)


def test_trap_05_incremental_output_is_refused_for_llama_before_sending():
    captured = generation_requests("ds202__mm_stream_incremental_false_llama")[0]
    with pytest.raises(Fault) as caught:
        encoded(captured)
    assert caught.value.code == "Local.Parameter"
    assert "incremental_output" in caught.value.message


def test_a_stream_over_the_compatible_protocol_asks_for_usage():
    """Trap 10: without it the cost of a streamed answer would not be known."""
    _, http = encoded(generation_requests("oai352__ds_stream")[0])
    assert json.loads(http.body)["stream_options"] == {"include_usage": True}
