"""JSON that is not quite JSON: whatever can be read without guessing is kept, wherever it stands."""

from __future__ import annotations

import json
import struct

import pytest

from pipeline.errors import Fault
from pipeline.types import Reply

NATIVE = b'{"output":{"choices":[{"message":{"content":[{"text":"%s"}]},"finish_reason":"stop"}]},"request_id":"r"}'
CHAT = b'{"choices":[{"index":0,"message":{"content":"%s"},"finish_reason":"stop"}],"id":"r"}'
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":"stop"}],"id":"r"}\n\ndata: [DONE]\n\n'
FRAME = b"id:1\nevent:result\n:HTTP_STATUS/200\ndata:" + NATIVE + b"\n\n"
FORMS = [("dashscope", NATIVE), ("dashscope", CHAT), ("qianfan", CHAT), ("openai", CHAT), ("openai", CHUNK),
         ("dashscope", FRAME), ("qianfan", CHUNK)]  # fmt: skip
ODD = [
    (b"cup \\ud83d", "cup \ufffd"),
    (b"\\ude00 cup", "\ufffd cup"),
    (b"\\ud83d\\ud83d\\ude00", "\ufffd😀"),
    (b"cup \\ud83d\\n", "cup \ufffd\n"),
    (b"cup \xff.", "cup \ufffd."),
    (b"cup \xe4\xbd", "cup \ufffd"),
    (b"\xed\xa0\xbd\xed\xb8\x80", "😀"),
    (b"one\ttwo", "one\ttwo"),
    (b"one\x01two", "one\x01two"),
    (b"\\\\ud83d", "\\ud83d"),
]


@pytest.mark.parametrize(("written", "text"), ODD, ids=[repr(written) for written, _ in ODD])
@pytest.mark.parametrize(("provider", "form"), FORMS)
def test_a_text_with_broken_characters_is_kept(provider, form, written, text, decode):
    reply = decode(form.replace(b"%s", written), provider=provider)
    assert isinstance(reply, Reply), reply
    assert (reply.text, reply.request_id, reply.finish_reason) == (text, "r", "stop")
    json.dumps(reply.text, ensure_ascii=False).encode()


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000])
@pytest.mark.parametrize(("provider", "form"), FORMS)
def test_a_number_that_is_none_counts_as_not_said(provider, form, number, decode):
    told = b'"usage":{"input_tokens":%s,"output_tokens":4},"score":%s,' % (number, number)
    at = form.index(b'{"')
    reply = decode((form[: at + 1] + told + form[at + 1 :]).replace(b"%s", b"hi"), provider=provider)
    assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("hi", None, 4)
    assert reply.extra.get("score") is None


def test_a_key_that_stands_twice_has_its_last_value(decode):
    body = NATIVE.replace(b"%s", b"hi")[:-1] + b',"request_id":"last"}'
    assert decode(body).request_id == "last"


def test_an_error_with_broken_characters_is_that_error(decode):
    error = b'{"code":"Throttling.RateQuota","message":"slow \\ud83d down","request_id":"r"}'
    for body, status in ((error, 429), (b"id:1\nevent:error\n:HTTP_STATUS/429\ndata:" + error + b"\n\n", 200)):
        fault = decode(body, status=status)
        assert (fault.kind, fault.code, fault.request_id) == ("throttled", "Throttling.RateQuota", "r")
        assert fault.message == "slow \ufffd down"
    nested = b'{"error":{"code":"limit_requests","message":"slow \\ud83d","type":"t\xff"},"id":"r"}'
    assert decode(nested, provider="openai", status=429).kind == "throttled"


def test_a_vector_beside_broken_characters_is_kept(decode):
    native = b'{"output":{"embedding":[0.5,-1.0]},"note":"\\ud83d","request_id":"r"}'
    reply = decode(native, task="embed")
    assert reply.embedding == struct.pack("<2f", 0.5, -1)
    assert reply.extra["note"] == "\ufffd"
    plural = b'{"data":[{"embedding":[1.0],"index":0}],"model":"\xff","usage":{"prompt_tokens":NaN}}'
    assert decode(plural, provider="openai", task="embed").embedding == struct.pack("<f", 1)


def test_a_vector_with_a_number_that_is_none_is_malformed(decode):
    for numbers in (b"[1.0,NaN]", b"[1e999]", b"[Infinity,2]"):
        assert decode(b'{"output":{"embedding":%s}}' % numbers, task="embed").kind == "malformed"


def test_read_words_that_hold_no_text_do_not_lose_the_others(decode):
    words = [{"text": "甲", "location": [1, 2, 3, 2, 3, 4, 1, 4]}, {"location": [0] * 8}, None, {"text": None}, "x"]
    part = {"ocr_result": {"words_info": words}}
    value = {"output": {"choices": [{"message": {"content": [part]}, "finish_reason": "stop"}]}}
    assert decode(json.dumps(value).encode(), task="ocr", model="qwen-vl-ocr").text == "甲"


BLANKS = [b"\n" * 4_096, b" " * 100_000, b"\r\n" * 3_000, b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n \t\n",
          b"\n\xef\xbb\xbf\n",
          b": keep-alive\n\n" * 500, b":\r\n\r\n: " + b"x" * 9_000 + b"\n\n", b"\n: ping\n\n \n"]  # fmt: skip


@pytest.mark.parametrize("before", BLANKS, ids=[f"{blank[:8]!r}x{len(blank)}" for blank in BLANKS])
@pytest.mark.parametrize(("provider", "form"), FORMS)
def test_what_a_proxy_sends_to_keep_alive_is_no_answer(provider, form, before, decode):
    body = before + form.replace(b"%s", b"hi")
    assert decode(body, provider=provider).text == "hi"
    assert decode([body[i : i + 1_000] for i in range(0, len(body), 1_000)], provider=provider).text == "hi"
    assert (
        decode([before[i : i + 1] for i in range(len(before))] + [body[len(before) :]], provider=provider).text == "hi"
    )


@pytest.mark.parametrize("before", BLANKS, ids=[f"{blank[:8]!r}x{len(blank)}" for blank in BLANKS])
def test_an_error_behind_keep_alive_blanks_is_that_error(before, decode):
    error = b'{"code":"InvalidApiKey","message":"Invalid API-key provided.","request_id":"r"}'
    fault = decode(before + error, status=401)
    assert (fault.kind, fault.code, fault.message) == ("account", "InvalidApiKey", "Invalid API-key provided.")


AFTER = [b"\n\n", b" " * 5_000, b"\n: done\n", b"<!-- cached -->", b"\x00", b"data: [DONE]\n\n",
         b'{"error":{"message":"late","code":500}}']  # fmt: skip


@pytest.mark.parametrize("after", AFTER)
@pytest.mark.parametrize(("provider", "form"), [form for form in FORMS if form[1] in (NATIVE, CHAT)])
def test_what_follows_a_whole_answer_is_no_part_of_it(provider, form, after, decode):
    assert decode(form.replace(b"%s", b"hi") + after, provider=provider).text == "hi"


def test_objects_one_after_the_other_are_not_cut_to_the_first(decode):
    """Lines of JSON without a finish reason: the first is a part, and a part is never taken for the whole."""
    piece = CHAT.replace(b"%s", b"half").replace(b'"stop"', b"null")
    assert decode(piece + b"\n" + piece, provider="openai").kind == "malformed"


@pytest.mark.parametrize("body", [b'{"a":"\\x"}', b"{'a':1}", b'{"choices":[,]}', b'{"a":1,}', b"[1 2]", b'{"a" 1}'])
def test_what_can_only_be_guessed_at_is_malformed(body, decode):
    fault = decode(body)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.retry) == ("malformed", "once")
