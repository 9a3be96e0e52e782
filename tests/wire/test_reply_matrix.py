"""Which ending each stream and each whole body has: what was received whole is kept, and never bought a second time.

A stream is written as letters: T text, F text with a finish reason, U usage in a chunk of its own, D `[DONE]`,
P a ping, X `event:done`, E an error, G words that are no JSON, C a frame that stops in the middle; then `/` for a
connection that was closed in order and `!` for one that was cut. `answer` is kept; `suspect` is kept, shown, and not
asked again by itself; `cut` is asked again by itself; `error` goes by the error; `malformed` is asked once more.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.errors import Fault
from pipeline.types import Reply

CHAT = {
    # A finish reason: the answer is whole, whatever follows and however the connection ends.
    "TFUD/": "answer", "TFUD!": "answer", "TFU/": "answer", "TFU!": "answer", "TFD/": "answer", "TF/": "answer",
    "TF!": "answer", "F/": "answer", "F!": "answer", "TFUDE/": "answer", "TFEUD/": "answer", "TFE!": "answer",
    "TFUX/": "answer", "TFPUPD/": "answer", "TFG/": "answer", "TFC/": "answer", "TFC!": "answer", "TFUDG/": "answer",
    "PTPFPUPDP/": "answer", "TTTFUD/": "answer", "GTFUD/": "answer",
    # No finish reason: the usage and the end mark together say that the service was done; one of them is a hint.
    "TUD/": "answer", "TUD!": "answer", "TTUDE/": "answer", "TPUPD/": "answer", "TUX/": "answer",
    "TD/": "suspect", "TD!": "suspect", "TU/": "suspect", "TU!": "suspect", "TDE/": "suspect", "TX/": "suspect",
    "TUC!": "suspect", "TUP/": "suspect",
    # Neither: the rest never came.
    "T/": "cut", "T!": "cut", "TP/": "cut", "TC/": "cut", "TC!": "cut", "TG/": "cut", "P/": "cut", "P!": "cut",
    "UT/": "cut", "UT!": "cut", "C/": "cut", "C!": "cut", "/": "cut", "!": "cut", "TT/": "cut",
    # An error before the answer is whole is the ending, whatever follows.
    "E/": "error", "E!": "error", "TE/": "error", "TED/": "error", "TEF/": "error", "TEUD/": "error", "PE/": "error",
    "TUE/": "error", "UDE/": "error", "UED/": "error", "UTE/": "error", "TE!": "error", "EG/": "error", "DE/": "error",
    # The service said that it was done, or said something, and gave no answer.
    "D/": "malformed", "PD/": "malformed", "UD/": "malformed", "G/": "malformed",
}  # fmt: skip
NATIVE = {
    **{letters: ending for letters, ending in CHAT.items() if "U" not in letters},
    "TDX/": "suspect",
}
ERRORS = {"dashscope": "Throttling.RateQuota", "openai": "rate_limit_exceeded", "qianfan": "rpm_rate_limit_exceeded"}
SERVICES = [("dashscope", "native"), ("dashscope", "chat"), ("openai", "chat"), ("qianfan", "chat")]
CASES = [(*service, letters, ending) for service in SERVICES
         for letters, ending in (NATIVE if service[1] == "native" else CHAT).items()]  # fmt: skip


def frame(provider, form, letter, number):
    """One piece of a stream, its data as the protocol has it."""
    if letter == "D":
        return b"data: [DONE]\n\n"
    if letter == "P":
        return b'event: ping\ndata: {"type":"ping"}\n\n: a comment\n\n'
    if letter == "X":
        return b"event:done\ndata:{}\n\n"
    if letter == "G":
        return b"data: still working\n\n"
    if letter == "E":
        error = {"code": ERRORS[provider], "message": "slow down"}
        body: dict[str, Any] = error if form == "native" else {"error": error}
        return b"event:error\ndata:" + json.dumps(body).encode() + b"\n\n"
    if letter == "U":
        return b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3},"id":"r"}\n\n'
    text, reason = f"w{number} ", "stop" if letter == "F" else None
    if form == "native":
        choice = {"message": {"content": [{"text": text}]}, "finish_reason": reason or "null"}
        body = {"output": {"choices": [choice]}, "usage": {"input_tokens": 7, "output_tokens": number}}
    else:
        body = {"id": "r", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]}
    written = b"data: " + json.dumps(body).encode() + b"\n\n"
    return written[:-9] if letter == "C" else written


def stream(provider, form, letters):
    return b"".join(frame(provider, form, letter, number) for number, letter in enumerate(letters, 1))


def ending(found):
    if isinstance(found, Reply):
        return "answer"
    names = {"suspect": "suspect", "throttled": "error", "malformed": "malformed"}
    return "cut" if found.code == "Local.StreamCut" else names.get(found.kind, found.kind)


@pytest.mark.parametrize(("provider", "form", "letters", "expected"), CASES)
def test_each_stream_has_its_ending(provider, form, letters, expected, decode):
    body, complete = stream(provider, form, letters[:-1]), letters[-1] == "/"
    parameters = {"incremental_output": True}
    for chunks in (
        body,
        [body[i : i + 1] for i in range(len(body))],
        [body[i : i + 50] for i in range(0, len(body), 50)],
    ):
        found = decode(chunks, provider=provider, complete=complete, stream=True, parameters=parameters)
        assert ending(found) == expected, found
        if expected in ("answer", "suspect"):
            kept = found if isinstance(found, Reply) else found.reply
            texts = [f"w{number} " for number, letter in enumerate(letters, 1) if letter in "TF"]
            assert kept.text == "".join(texts)
            assert kept.usage.output_tokens == (3 if "U" in letters else len(texts) and kept.usage.output_tokens)
        if isinstance(found, Fault):
            retry = {"suspect": "no", "cut": "yes", "error": "yes", "malformed": "once"}[expected]
            assert (found.retry, found.http_status) == (retry, 200)
            assert found.message


def whole(form, reason):
    if form == "native":
        return {"output": {"choices": [{"message": {"content": [{"text": "hi"}]}, "finish_reason": reason}]}}
    return {"id": "r", "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": reason}]}


@pytest.mark.parametrize(("provider", "form"), SERVICES)
@pytest.mark.parametrize("complete", [True, False])
def test_each_whole_body_has_its_ending(provider, form, complete, decode):
    finished = json.dumps(whole(form, "stop")).encode()
    for body in (finished, finished + b"\n\n", b"\n\n" + finished, finished + b"<!-- x -->"):
        assert decode(body, provider=provider, complete=complete).text == "hi"
    open_end = decode(json.dumps(whole(form, None)).encode(), provider=provider, complete=complete)
    assert ending(open_end) == ("suspect" if provider == "dashscope" else "answer")
    for place in range(len(finished)):
        found = decode(finished[:place], provider=provider, complete=complete)
        assert (ending(found), found.retry) == ("cut", "yes"), finished[:place]


@pytest.mark.parametrize("blanks", [b"", b"\n\n\n", b": wait\n\n"])
def test_a_body_as_long_as_it_was_announced_is_malformed(blanks, decode):
    """Without a length the connection may have ended too early: that passes. A length that came true says nothing."""
    announced = {"content-length": str(len(blanks))}
    half = b'{"choices":[{"index":0,'
    assert ending(decode(half, provider="openai", headers={"content-length": str(len(half))})) == "malformed"
    assert ending(decode(blanks, headers=announced)) == "malformed"
    assert ending(decode(blanks)) == "cut"
    assert ending(decode(blanks, headers=announced, complete=False)) == "cut"


def test_an_error_status_with_half_a_body_goes_by_the_status(decode):
    for body in (b"", b"\n\n", b'{"error":{"mess', b'data: {"err', b": wait\n\n", b"event: ping\ndata: {}\n\n"):
        for status, kind in ((429, "throttled"), (503, "transient"), (400, "rejected"), (401, "account")):
            for complete in (True, False):
                fault = decode(body, status=status, complete=complete)
                assert (fault.kind, fault.http_status) == (kind, status), body


def test_a_ping_under_an_error_status_is_not_the_error(decode):
    error = b'event:error\ndata:{"code":"InvalidParameter","message":"Range of input length"}\n\n'
    fault = decode(b'event: ping\ndata: {"type":"ping"}\n\n' + error, status=400)
    assert (fault.code, fault.message) == ("InvalidParameter", "Range of input length")


def test_events_without_an_empty_line_between_them_are_read(decode):
    lines = [b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}',
             b'data: {"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}',
             b"data: [DONE]"]  # fmt: skip
    for end in (b"\n", b"\n\n", b"\r\n"):
        assert decode(end.join(lines), provider="openai").text == "ab"
        assert decode(end.join(lines) + end, provider="openai").text == "ab"
    assert ending(decode(b"\n".join([lines[0], lines[2]]) + b"\n\n", provider="openai")) == "suspect"


def test_a_garbled_piece_before_the_finish_is_malformed(decode):
    """A piece of the text is missing: what is left is no answer."""
    first, last = frame("openai", "chat", "T", 1), frame("openai", "chat", "F", 2)
    assert decode(
        first + b'data: {"choices":[{"index":0,"delta":{"content":"x"}\n\n' + last, provider="openai"
    ).kind == ("malformed")
    assert decode(first + b'data: {"choices":[3]}\n\n' + last, provider="openai").kind == "malformed"
    assert decode(last + b'data: {"choices":[3]}\n\n', provider="openai").text == "w2 "


def test_frames_that_are_no_piece_of_the_answer_are_passed_over(decode):
    odd = [b'data: {"type":"status","text":"searching"}\n\n', b"data: 1\n\n", b"data: null\n\n", b'data: "x"\n\n',
           b"data: []\n\n", b"event: heartbeat\ndata: {}\n\n", b"id: 7\nretry: 10\n\n", b"data\n\n",
           b'event: trace\ndata: {"request_id":"t"}\n\n']  # fmt: skip
    for provider, form in SERVICES:
        body = b"".join(one + frame(provider, form, "T", number) for number, one in enumerate(odd, 1))
        body += b"".join(odd) + frame(provider, form, "F", 10) + b"".join(odd)
        found = decode(body, provider=provider, stream=True, parameters={"incremental_output": True})
        assert isinstance(found, Reply), found
        assert found.text == "".join(f"w{number} " for number in range(1, 11))


def test_usage_in_a_native_frame_of_its_own_is_read(decode):
    body = frame("dashscope", "native", "F", 1) + b'data:{"usage":{"input_tokens":5,"output_tokens":9}}\n\n'
    assert decode(body).usage.output_tokens == 9
