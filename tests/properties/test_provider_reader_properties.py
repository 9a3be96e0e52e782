"""Whatever arrives, however cut, a reader gives a Reply or a Fault, the same one, in bounded time and memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.captures import NAMES, exchanges, provider_of, reply_bytes

from pipeline.errors import FAULT_KINDS, Fault
from pipeline.providers import NAMES as PROVIDERS
from pipeline.providers import load, models
from pipeline.providers.dashscope_native import TextFlow
from pipeline.types import Reply, Request

QUICK = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(chunks, provider="dashscope", task="ask", status=200, complete=True, parameters=None):
    request = Request(task=task, model="m", parameters=parameters or {})
    reader = load(provider).reader(request, models.find(provider, "m"), status, {})
    for chunk in chunks:
        reader.feed(chunk)
    try:
        return reader.end(complete=complete)
    except Fault as fault:
        return fault


def shown(ending):
    if isinstance(ending, Fault):
        return (ending.kind, ending.code, ending.message, ending.http_status, ending.retry, ending.reply)
    return ending


def cut(body, places):
    edges = [0, *sorted({place % (len(body) + 1) for place in places}), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]


PIECES = st.sampled_from(
    [b"data:", b"data: ", b"event:error\n", b":HTTP_STATUS/429\n", b"\n\n", b"\r\n", b"\n", b"[DONE]", b"{", b"}", b"[",
     b'"', b",", b":", b'"output":', b'"choices":', b'"message":', b'"delta":', b'"content":', b'"text":"x"', b"null",
     b'{"output":{"choices":[{"message":{"content":[{"text":"a"}]},"finish_reason":"stop"}]}}',
     b'{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}', b'"code":"X"', b'"error":',
     b'{"code":"Throttling","message":"m"}', b"\xe4", b"\xff", b"\x00", b"1e999", b"<html>", b'"embedding":[1,2]']
)  # fmt: skip
BODIES = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=25).map(b"".join))
PLACES = st.lists(st.integers(0, 4_000), max_size=8)


@QUICK
@given(BODIES, PLACES, st.sampled_from(PROVIDERS), st.sampled_from(["ask", "ocr", "embed"]),
       st.sampled_from([200, 204, 302, 400, 401, 429, 500, 599]), st.booleans())  # fmt: skip
def test_any_bytes_split_anywhere_give_one_reply_or_fault(body, places, provider, task, status, complete):
    whole = read([body], provider, task, status, complete)
    assert isinstance(whole, Reply | Fault)
    if isinstance(whole, Fault):
        assert whole.kind in FAULT_KINDS
        assert len(whole.message) < 3_000
    assert shown(read(cut(body, places), provider, task, status, complete)) == shown(whole)
    assert status < 300 or isinstance(whole, Fault)


KEYS = [
    "output",
    "choices",
    "message",
    "delta",
    "content",
    "text",
    "usage",
    "finish_reason",
    "code",
    "error",
    "embedding",
    "embeddings",
    "data",
    "index",
    "flag",
    "request_id",
    "id",
    "ocr_result",
    "words_info",
    "location",
    "input_tokens",
    "model",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(KEYS),
        inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


@QUICK
@given(JSON, st.sampled_from(PROVIDERS), st.sampled_from(["ask", "ocr", "embed"]), st.booleans())
def test_any_json_whole_or_as_an_event_gives_a_reply_or_a_fault(value, provider, task, stream):
    body = json.dumps(value).encode()
    ending = read([b"data:" + body + b"\n\n" if stream else body], provider, task)
    assert isinstance(ending, Reply | Fault)


STREAMED = [
    (name, provider_of(e["request"]["path"])[0], reply_bytes(e["server_reply"]))
    for name in NAMES
    for e in exchanges(name)
    if e.get("request") and "text/event-stream" in str((e.get("server_reply") or {}).get("headers"))
]


@pytest.mark.parametrize(("provider", "body"), [s[1:] for s in STREAMED], ids=[s[0] for s in STREAMED])
def test_a_stream_cut_in_two_at_every_byte_decodes_to_the_same(provider, body):
    whole = shown(read([body], provider))
    for place in range(0, len(body) + 1, 1 if len(body) < 1_500 else 7):
        assert shown(read([body[:place], body[place:]], provider)) == whole
    assert shown(read([body[i : i + 1] for i in range(len(body))], provider)) == whole


@pytest.mark.parametrize(("provider", "body"), [s[1:] for s in STREAMED], ids=[s[0] for s in STREAMED])
def test_a_stream_that_stops_at_any_byte_is_an_ending_never_a_wrong_text(provider, body):
    whole = read([body], provider)
    for place in range(0, len(body), 13):
        part = read([body[:place]], provider, complete=False)
        if isinstance(part, Reply):
            assert isinstance(whole, Reply)
            assert part.text == whole.text
        else:
            assert part.kind in ("transient", "throttled", "rejected", "malformed")


def test_there_are_streams_to_cut():
    assert len(STREAMED) >= 15


PARTS = st.lists(st.text(st.sampled_from("a🐱\ufffd \n1é"), min_size=1, max_size=4), min_size=1, max_size=12)


@QUICK
@given(PARTS, st.sampled_from(["replace", "cumulative"]))
def test_a_cumulative_stream_gives_its_last_text_once(pieces, mode):
    flow = TextFlow(mode)
    for end in range(1, len(pieces) + 1):
        flow.add("".join(pieces[:end]))
    flow.add("".join(pieces))
    assert flow.text() == "".join(pieces)


@QUICK
@given(st.lists(st.text(min_size=1), min_size=1, max_size=12))
def test_a_model_without_increments_gives_its_last_frame(frames):
    flow = TextFlow("replace")
    for frame in frames:
        flow.add(frame)
    assert flow.text() == frames[-1]


@QUICK
@given(PARTS, st.lists(st.integers(1, 9), min_size=12, max_size=12))
def test_an_incremental_stream_gives_all_its_pieces(pieces, tokens):
    """But where each of five frames and more begins with the one before, and they are no repeated sign."""
    flow, total = TextFlow("incremental"), 0
    for piece, more in zip(pieces, tokens, strict=False):
        total += more
        flow.add(piece, total)
    growing = [b.startswith(a) and len(b) > len(a) for a, b in pairwise(pieces)]
    if sum(growing) < 4 or not all(b.startswith(a) for a, b in pairwise(pieces)):
        assert flow.text() == "".join(pieces)


def _seconds(chunks, provider="dashscope"):
    started = time.process_time()
    read(chunks, provider)
    return time.process_time() - started


def test_time_grows_with_the_bytes_not_with_their_square():
    def long_line(size):
        text = json.dumps({"output": {"choices": [{"message": {"content": [{"text": "x" * size}]},
                                                   "finish_reason": "stop"}]}}).encode()  # fmt: skip
        return [text[i : i + 16] for i in range(0, len(text), 16)]

    def many_events(count):
        event = b'data: {"choices":[{"index":0,"delta":{"content":"ab"}}]}\n\n'
        return [event] * count

    def one_event_in_crumbs(size):
        return [b"data: ", *long_line(size), b"\n\n"]

    def many_values(count):
        return [b"data: " + b"1 " * count + b"\n\n"]

    def broken_text(size):
        return [b"".join(long_line(size)).replace(b"xxxx", b"xx\xff\t")]

    def blanks(size):
        return [b"\n" * 16] * (size // 16) + long_line(16)

    def open_braces(size):
        return [b"[" * size]

    shapes = ((long_line, 150_000), (many_events, 3_000), (one_event_in_crumbs, 150_000), (many_values, 20_000),
              (broken_text, 60_000), (blanks, 150_000), (open_braces, 60_000))  # fmt: skip
    for make, small in shapes:
        few = min(_seconds(make(small)) for _ in range(2))
        many = min(_seconds(make(small * 8)) for _ in range(2))
        assert many < max(few, 0.004) * 8 * 4


def test_a_cumulative_stream_is_held_once_not_frame_by_frame():
    words = "word " * 4_000

    def frames():
        for end in range(50, len(words), 50):
            choice = {"message": {"content": [{"text": words[:end]}]}, "finish_reason": "null"}
            yield b"data:" + json.dumps({"output": {"choices": [choice]}}).encode() + b"\n\n"

    tracemalloc.start()
    read(frames())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
