"""Replies and streams beyond the captures: every form the pages describe, and every way they break."""

from __future__ import annotations

import json
import struct

import numpy as np
import pybase64
import pytest

from pipeline.errors import Fault
from pipeline.types import Reply


def native(text="hi", finish="stop", **message):
    content = [{"text": text}]
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"output": {"choices": [choice]}, "usage": {"input_tokens": 3, "output_tokens": 2}, "request_id": "r"}


def chat(**choice):
    found = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop", **choice}
    return {"id": "as-1", "model": "m", "choices": [found]}


def body(value):
    return json.dumps(value, ensure_ascii=False).encode()


def frames(*values, done=False):
    return b"".join(b"data:" + body(v) + b"\n\n" for v in values) + (b"data: [DONE]\n\n" if done else b"")


def test_trap_01_text_parts_are_joined_in_order(decode):
    value = native()
    value["output"]["choices"][0]["message"]["content"] = [{"text": "a"}, {"image_hw": [[1, 2]]}, {"text": "b"}]
    reply = decode(body(value))
    assert reply.text == "ab"
    assert reply.extra["image_hw"] == [[1, 2]]


def test_trap_02_output_text_is_never_read(decode):
    value = native("right")
    value["output"] |= {"text": "wrong", "finish_reason": None}
    assert decode(body(value)).text == "right"


@pytest.mark.parametrize("finish", ["null", None, ""])
def test_trap_03_the_string_null_is_no_finish_reason(finish, decode):
    fault = decode(frames(native("a", finish), native("ab", finish)))
    assert fault.code == "Local.StreamCut"


def test_trap_04_a_cumulative_stream_whose_last_text_comes_twice_is_not_doubled(decode):
    texts = [("這", "null"), ("這是", "null"), ("這是一", "null"), ("這是一", "stop")]
    assert decode(frames(*(native(t, f) for t, f in texts)), model="llama3.2-11b-vision").text == "這是一"


@pytest.mark.parametrize("asked", [None, True, False])
def test_trap_05_the_mode_is_seen_in_the_frames(asked, decode):
    parameters = {} if asked is None else {"incremental_output": asked}
    cumulative = frames(*(native("abcdefgh"[: n + 1], "stop" if n == 7 else "null") for n in range(8)))
    assert decode(cumulative, parameters=parameters).text == "abcdefgh"
    pieces = ["It ", "is ", "a ", "dog", ""]
    incremental = frames(*(native(p, "null" if p else "stop") for p in pieces))
    assert decode(incremental, parameters=parameters).text == "It is a dog"


def test_trap_05_a_repeated_first_word_of_an_incremental_stream_is_kept(decode):
    stream = frames(native("ha", "null"), native("haha", "null"), native("!", "stop"))
    assert decode(stream, parameters={"incremental_output": True}).text == "hahaha!"
    short = frames(native("ha", "null"), native("haha", "stop"))
    assert decode(short, parameters={"incremental_output": True}).text == "hahaha"
    assert decode(short, model="qwen3-vl-plus").text == "hahaha"
    assert decode(short, model="llama3.2-11b-vision").text == "haha"


def test_a_rewritten_cumulative_text_replaces_the_old_one(decode):
    texts = ["a", "ab", "abc", "abcd", "Abcde"]
    assert decode(frames(*(native(t, "stop" if t == "Abcde" else "null") for t in texts))).text == "Abcde"


def test_trap_06_the_text_of_the_finishing_frame_is_kept(decode):
    stream = frames(native("It is ", "null"), native("a dog", "stop"))
    assert decode(stream, parameters={"incremental_output": True}).text == "It is a dog"


def test_trap_12_llama_counts_no_pictures_and_no_total(decode):
    usage = decode(
        body(native() | {"usage": {"input_tokens": 45, "output_tokens": 79}}), model="llama3.2-11b-vision"
    ).usage
    assert (usage.input_tokens, usage.output_tokens, usage.media_tokens) == (45, 79, None)


@pytest.mark.parametrize("status", [400, 429, 500])
def test_trap_34_events_under_an_error_status_are_read(status, decode):
    value = {"code": "InvalidParameter", "message": "Range of input length", "request_id": "r"}
    stream = b"id:1\nevent:error\n:HTTP_STATUS/%d\ndata:%s\n\n" % (status, body(value))
    fault = decode(stream, status=status)
    assert (fault.code, fault.message, fault.request_id) == ("InvalidParameter", "Range of input length", "r")
    assert fault.http_status == status


@pytest.mark.parametrize("space", [b"", b" "])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_trap_36_fields_with_and_without_a_space_and_with_any_line_end(space, end, decode):
    lines = [b"id:" + space + b"1", b"event:" + space + b"result", b":HTTP_STATUS/200"]
    stream = end.join([*lines, b"data:" + space + body(native()), b"", b""])
    assert decode(stream).text == "hi"
    assert decode([stream[i : i + 1] for i in range(len(stream))]).text == "hi"


def test_trap_48_the_words_of_a_flat_error_are_kept(decode):
    fault = decode(body({"code": "invalid_argument", "msg": "the picture is odd"}), provider="qianfan", status=400)
    assert (fault.code, fault.message) == ("invalid_argument", "the picture is odd")


def test_trap_07_and_08_the_last_chunk_has_text_and_the_usage_chunk_no_choices(decode):
    chunks = [
        {"id": "c", "choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}]},
        {"id": "c", "choices": [{"index": 0, "delta": {"content": "end"}, "finish_reason": "stop"}]},
        {"id": "c", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}},
    ]
    reply = decode(frames(*chunks, done=True), provider="openai")
    assert (reply.text, reply.usage.input_tokens, reply.usage.output_tokens) == ("end", 5, 1)


def test_trap_09_running_usage_is_not_added(decode):
    first, last = native("a", "null"), native("b", "stop")
    last["usage"]["output_tokens"] = 9
    assert decode(frames(first, last)).usage.output_tokens == 9


@pytest.mark.parametrize(
    "usage", [None, {}, [], "x", {"input_tokens": None}, {"input_tokens": -1, "output_tokens": True}]
)
def test_trap_10_usage_that_is_not_said_is_none(usage, decode):
    value = native() | {"usage": usage}
    reply = decode(body(value))
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (None, None)


def test_trap_11_picture_tokens_are_contained_in_the_input(decode):
    value = native() | {"usage": {"input_tokens": 1271, "output_tokens": 5, "image_tokens": 1247}}
    usage = decode(body(value)).usage
    assert (usage.input_tokens, usage.media_tokens) == (1271, 1247)


def test_token_details_are_read_where_the_newer_models_give_them(decode):
    usage = {"prompt_tokens": 9, "completion_tokens": 2,
             "prompt_tokens_details": {"cached_tokens": 4, "image_tokens": 5, "video_tokens": None}}  # fmt: skip
    found = decode(body(chat() | {"usage": usage}), provider="dashscope").usage
    assert (found.input_tokens, found.cached_tokens, found.media_tokens) == (9, 4, 5)


def test_traps_14_15_17_both_vector_forms_and_weighted_units(decode):
    units = {"audio": {"measure": 1, "weight": 2}, "total_usage": 2}
    single = {"output": {"embedding": [0.5, -1]}, "usage": units, "request_id": "r"}
    plural = {"output": {"embeddings": [{"index": 0, "embedding": [0.5, -1], "type": "image"}]}, "request_id": "r"}
    for value in (single, plural):
        assert decode(body(value), task="embed").embedding == struct.pack("<2f", 0.5, -1)
    found = decode(body(single), task="embed")
    assert (found.usage.input_tokens, found.usage.input_units) == (None, 2)
    assert found.extra["usage"] == units


def test_the_fused_vector_is_taken_out_of_several(decode):
    vectors = [{"embedding": [1.0], "type": "text"}, {"embedding": [2.0], "type": "fusion"}]
    assert decode(body({"output": {"embeddings": vectors}}), task="embed").embedding == struct.pack("<f", 2)


def test_openai_vectors_come_as_base64_or_as_numbers(decode):
    array = np.linspace(-1, 1, 1536, dtype="<f4")
    for value in (pybase64.b64encode(array.tobytes()).decode(), array.tolist()):
        answer = {"object": "list", "data": [{"index": 0, "embedding": value}], "usage": {"prompt_tokens": 3}}
        assert decode(body(answer), provider="openai", task="embed").embedding == array.tobytes()


@pytest.mark.parametrize("vector", ["", "abc", "!!!!", [], [[1.0]], ["a"], [True], [1, None], None, {}, 3])
def test_what_is_no_vector_is_malformed(vector, decode):
    assert decode(body({"output": {"embedding": vector, "embeddings": None}}), task="embed").kind == "malformed"
    assert decode(body({"data": [{"embedding": vector}]}), provider="openai", task="embed").kind == "malformed"


def test_trap_35_a_stream_without_a_finish_reason_is_cut(decode):
    """With `[DONE]` the service says itself that it is at its end: then the text is kept (test_reply_matrix)."""
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "half"}}]}
    fault = decode(frames(chunk), provider="qianfan")
    assert (fault.kind, fault.code, fault.retry, fault.reply.text) == ("transient", "Local.StreamCut", "yes", "half")


def test_a_connection_cut_after_the_finish_reason_loses_nothing(decode):
    assert decode(frames(native("all", "stop")) + b'data:{"outp', complete=False).text == "all"


def test_a_cut_body_is_transient_and_a_whole_one_is_kept(decode):
    whole = body(native("all"))
    assert decode(whole, complete=False).text == "all"
    for complete in (False, True):
        fault = decode(whole[:-3], complete=complete)
        assert (fault.kind, fault.code) == ("transient", "Local.StreamCut")


@pytest.mark.parametrize("flag", [1, 3, "1"])
def test_trap_44_a_flag_blocks_and_keeps_the_text(flag, decode):
    fault = decode(body(chat(flag=flag, ban_round=2)), provider="qianfan")
    assert fault.kind == "blocked"
    assert fault.reply.text == "hi"
    assert fault.reply.extra["flag"] == flag
    chunk = {"choices": [{"index": 0, "delta": {"content": "x"}, "flag": flag, "finish_reason": "stop"}]}
    assert decode(frames(chunk, done=True), provider="qianfan").kind == "blocked"


def test_a_flag_of_zero_is_an_answer(decode):
    reply = decode(body(chat(flag=0)), provider="qianfan")
    assert reply.text == "hi"
    assert "flag" not in reply.extra


def test_a_content_filter_or_a_refusal_in_place_of_an_answer_is_blocked(decode):
    assert decode(body(chat(finish_reason="content_filter")), provider="openai").kind == "blocked"
    refused = chat(message={"role": "assistant", "content": None, "refusal": "I cannot"})
    fault = decode(body(refused), provider="openai")
    assert (fault.kind, fault.message) == ("blocked", "I cannot")


@pytest.mark.parametrize("value", [native(finish=None), native(finish="null"), chat(finish_reason=None)])
def test_trap_55_a_whole_dashscope_answer_without_a_finish_reason_is_a_suspect_part(value, decode):
    fault = decode(body(value))
    assert (fault.kind, fault.code, fault.reply.text) == ("suspect", "Local.Partial", "hi")


def test_reasoning_and_unknown_fields_are_kept_in_extra(decode):
    reply = decode(body(native(reasoning_content="because", annotations=[{"a": 1}]) | {"search_info": {"x": 1}}))
    assert reply.extra == {"reasoning": "because", "annotations": [{"a": 1}], "search_info": {"x": 1}}
    chunks = [{"choices": [{"index": 0, "delta": {"reasoning_content": part}}]} for part in ("be", "cause")]
    end = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}], "search_results": [1]}
    streamed = decode(frames(*chunks, end, done=True), provider="openai")
    assert streamed.extra == {"reasoning": "because", "search_results": [1]}


def test_read_words_become_blocks_with_polygons(decode):
    words = [{"text": "甲", "location": [1, 2, 3, 2, 3, 4, 1, 4], "rotate_rect": [2, 3, 2, 2, 0]}, {"text": "乙"}]
    value = native("```json\n[]\n```")
    value["output"]["choices"][0]["message"]["content"][0]["ocr_result"] = {"words_info": words}
    reply = decode(body(value), task="ocr", model="qwen-vl-ocr")
    assert reply.text == "甲\n乙"
    assert [block.polygon for block in reply.blocks] == [((1, 2), (3, 2), (3, 4), (1, 4)), None]
    assert reply.extra["raw_text"] == "```json\n[]\n```"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("```html\n<table></table>\n```", "<table></table>"),
        ("plain", "plain"),
        ("see ```x``` there", "see ```x``` there"),
        ("```a\n1\n```\nand\n```b\n2\n```", "```a\n1\n```\nand\n```b\n2\n```"),
    ],
)
def test_one_fence_around_the_whole_read_text_is_taken_away_for_ocr_only(given, text, decode):
    reply = decode(body(native(given)), task="ocr")
    assert reply.text == text
    assert reply.extra.get("raw_text", given) == given
    assert decode(body(native(given)), task="ask").text == given


@pytest.mark.parametrize("status", [200, 502])
@pytest.mark.parametrize("content", [b"", b"  \n", b"<html>Bad Gateway</html>", b"upstream error", b"\xff\xfe\x00"])
def test_what_is_no_json_is_malformed_or_goes_by_its_status(status, content, decode):
    fault = decode(content, status=status, headers={"content-length": str(len(content))})
    assert isinstance(fault, Fault)
    assert fault.kind == ("malformed" if status == 200 else "transient")
    assert fault.http_status == status


@pytest.mark.parametrize("value", [[], 3, "x", None, True, {}, {"output": 3}, {"output": {"choices": []}},
                                   {"choices": [3]}, {"choices": "x"}, {"output": {"choices": [{"message": 3}]}},
                                   {"output": {"choices": [{"message": {"content": [3]}}]}}])  # fmt: skip
@pytest.mark.parametrize("provider", ["dashscope", "openai", "qianfan"])
def test_json_of_another_shape_is_malformed_with_the_first_bytes(value, provider, decode):
    fault = decode(body(value), provider=provider)
    assert isinstance(fault, Fault)
    assert fault.kind == "malformed"
    assert len(fault.message) <= 280


def test_a_malformed_message_holds_no_key_and_no_picture(decode):
    secret = b'{"x": "Bearer sk-abcdefghijk", "image": "data:image/png;base64,' + b"QUJD" * 500 + b'"]'
    fault = decode(secret)
    assert fault.kind == "malformed"
    assert "abcdefghijk" not in fault.message
    assert "QUJDQUJD" not in fault.message


def test_a_redirect_is_refused_and_names_the_base_url(decode):
    fault = decode(b"", status=302, headers={"location": "https://elsewhere"})
    assert fault.kind == "rejected"
    assert "provider.base_url" in fault.message


def test_deeply_nested_json_is_malformed_not_a_crash(decode):
    assert decode(b'{"a":' + b"[" * 100_000).kind == "malformed"


def test_the_request_id_of_the_header_stands_in_where_the_body_has_none(decode):
    value = chat()
    del value["id"]
    assert decode(body(value), provider="openai", headers={"x-request-id": "h"}).request_id == "h"


def test_a_reply_is_a_reply_whatever_its_content_type(decode):
    assert isinstance(decode(b"\xef\xbb\xbf \n" + body(native()), headers={"content-type": "text/plain"}), Reply)
