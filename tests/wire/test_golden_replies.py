"""Every captured reply, stream and error decodes to the expected Reply or Fault."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pytest
from support.captures import NAMES, asked, exchanges, header_table, provider_of, reply_bytes

from pipeline.errors import Fault
from pipeline.types import Reply

STREAMS = {
    "ds202__mm_stream_default": ("这是一张照片", 1278, 4),
    "ds202__mm_stream_incremental_true": ("这是一张照片。", 1278, 5),
    "ds202__mm_stream_incremental_false": ("这是一张照片。", 1278, 5),
    "ds202__mm_stream_incremental_false_llama": ("这是一张照片", 1278, 4),
    "ds202__mm_stream_split_utf8": ("这是一张照片。", 1278, 5),
    "oai352__ds_stream": ("图中。", None, None),
    "oai352__ds_stream_usage": ("图中。", 1276, 85),
    "oai352__qf_base64_stream": ("A pixel", 10, 2),
    "qianfan__stream": ("The first image", None, None),
    "seed1__03_native_1img_system_sse": (
        "這是一張照片,照片中有一個女孩和一只狗。女孩坐在沙灘上,狗坐在她旁邊。女孩伸出手,狗也伸出爪子,好像在和女孩握手。"
        "女孩和狗都很開心的樣子。背景是海灘和海洋,天氣看起來很好。",
        45,
        79,
    ),
    "seed2__07_compat_1img_stream": (
        "图中是一名女子和她的狗在沙滩上互动。狗狗坐在地上,伸出爪子像是要握手或者击掌的样子。这名女士穿着格子衬衫,"
        "似乎正在与狗狗进行亲密的接触,并且面带微笑。他们背后的海浪拍打着海岸线,天空看起来很明亮但有些模糊,"
        "可能是日出或日落时分拍摄的照片。整体氛围显得非常和谐而温馨。",
        1276,
        85,
    ),
    "seed2__08_native_1img_system_stream_sse": ("这张照片拍打着海岸线以及远处的地平线上有阳光照射过来。", 1278, 63),
}
ERRORS = {
    "ds202__emb_error": ("account", "InvalidApiKey", 401, "no"),
    "seed4__error_invalid_api_key": ("account", "InvalidApiKey", 401, "no"),
    "ds202__emb_new_plural": ("rejected", "Local.SeveralVectors", 200, "no"),
    "ds202__mm_error_200_with_code": ("transient", "InternalError.Algo", 200, "yes"),
    "ds202__mm_error_400": ("blocked", "DataInspectionFailed", 400, "no"),
    "ds202__mm_error_401": ("account", "InvalidApiKey", 401, "no"),
    "ds202__mm_error_429": ("throttled", "Throttling.RateQuota", 429, "yes"),
    "ds202__mm_error_500": ("transient", "InternalError.Algo", 500, "yes"),
    "ds202__mm_error_503": ("transient", "ServiceUnavailable", 503, "yes"),
    "ds202__mm_error_html_502": ("transient", "Http502", 502, "yes"),
    "ds202__mm_stream_error_event": ("throttled", "Throttling.RateQuota", 429, "yes"),
    "ds202__mm_stream_error_event_spaced": ("throttled", "Throttling.RateQuota", 429, "yes"),
    "ds202__mm_stream_http400_sse_body": ("rejected", "InvalidParameter", 400, "no"),
    "ds202__mm_stream_truncated": ("transient", "Local.StreamCut", 200, "yes"),
    "oai352__ds_error_400_inspection": ("blocked", "data_inspection_failed", 400, "no"),
    "oai352__ds_error_401": ("account", "invalid_api_key", 401, "no"),
    "oai352__ds_stream_error_flat": ("throttled", "Throttling", 200, "yes"),
    "oai352__ds_stream_error_obj": ("throttled", "limit_requests", 200, "yes"),
    "oai352__ds_stream_truncated": ("transient", "Local.StreamCut", 200, "yes"),
    "oai352__qf_err_flat": ("account", "invalid_iam_token", 401, "no"),
    "oai352__qf_err_flat_200": ("transient", "internal_error", 200, "yes"),
    "oai352__qf_err_nested": ("throttled", "rpm_rate_limit_exceeded", 429, "yes"),
    "qianfan__err_flat_200": ("throttled", "rpm_rate_limit_exceeded", 200, "yes"),
    "qianfan__err_nested_200": ("throttled", "rpm_rate_limit_exceeded", 200, "yes"),
    "qianfan__err_nested_429": ("throttled", "rpm_rate_limit_exceeded", 429, "yes"),
    "seed4__01_embed": ("malformed", "Local.Malformed", 200, "once"),
}
ELSEWHERE = {"oai352__ds_batch_lifecycle", "ds202__mm_local_oss_403", "ds202__mm_local_policy_denied"}
PARTIAL = {
    "ds202__mm_stream_error_event": ("这是一", 2),
    "ds202__mm_stream_error_event_spaced": ("这是一", 2),
    "ds202__mm_stream_truncated": ("这是一", 2),
    "oai352__ds_stream_error_flat": ("图", None),
    "oai352__ds_stream_error_obj": ("图", None),
    "oai352__ds_stream_truncated": ("图", None),
}


def answered(name):
    """The exchanges of a capture whose reply is a generation's or an embedding's."""
    found = []
    for exchange in exchanges(name):
        request = exchange["request"]
        if exchange.get("server_reply") and (request is None or "body_json" in request):
            found.append(exchange)
    return found


def decoded(name, exchange, decode, cut=None):
    request, reply = exchange["request"], exchange["server_reply"]
    provider = provider_of(request["path"])[0] if request else "dashscope"
    task = "embed" if "emb" in name or name.startswith("seed4") else "ask"
    model = request["body_json"]["model"] if request else "multimodal-embedding-one-peace-v1"
    parameters: Mapping[str, Any] = {}
    if request and "video_url" not in name and task == "ask":
        parameters = asked(request).parameters
    body = reply_bytes(reply)
    chunks = [body] if cut is None else [body[i : i + cut] for i in range(0, len(body), cut)]
    headers = header_table([[*pair] for pair in (reply.get("headers") or {}).items()])
    return decode(
        chunks,
        provider=provider,
        model=model,
        task=task,
        status=reply["status"],
        headers=headers,
        parameters=parameters,
    )


WHOLE = [name for name in NAMES if name not in {*STREAMS, *ERRORS, *ELSEWHERE} and answered(name)]


def test_every_capture_with_a_reply_is_expected_somewhere():
    without = {name for name in NAMES if not answered(name)}
    assert {*STREAMS, *ERRORS, *ELSEWHERE, *WHOLE} | without == set(NAMES)
    assert len(WHOLE) >= 40


@pytest.mark.parametrize("cut", [None, 1, 7])
@pytest.mark.parametrize("name", STREAMS)
def test_streams_decode_to_the_whole_text_and_the_last_usage(name, cut, decode):
    reply = decoded(name, answered(name)[0], decode, cut)
    assert isinstance(reply, Reply)
    text, input_tokens, output_tokens = STREAMS[name]
    assert reply.text == text
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (input_tokens, output_tokens)
    assert reply.finish_reason == "stop"
    assert reply.request_id


@pytest.mark.parametrize("cut", [None, 1, 7])
@pytest.mark.parametrize("name", ERRORS)
def test_errors_decode_to_the_expected_fault(name, cut, decode):
    fault = decoded(name, answered(name)[0], decode, cut)
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.code, fault.http_status, fault.retry) == ERRORS[name]
    assert fault.message


@pytest.mark.parametrize("name", PARTIAL)
def test_what_came_before_an_error_or_a_cut_stands_with_the_fault(name, decode):
    fault = decoded(name, answered(name)[0], decode)
    assert isinstance(fault, Fault)
    assert fault.reply is not None
    assert (fault.reply.text, fault.reply.usage.output_tokens) == PARTIAL[name]


@pytest.mark.parametrize("name", WHOLE)
def test_whole_answers_decode_to_text_usage_and_id(name, decode):
    for exchange in answered(name):
        if exchange["server_reply"]["status"] != 200:
            continue
        reply = decoded(name, exchange, decode)
        assert isinstance(reply, Reply), reply
        body = exchange["server_reply"]["body_json"]
        usage = body.get("usage", {})
        assert reply.request_id == body.get("request_id", body.get("id"))
        assert reply.usage.input_tokens == usage.get("input_tokens", usage.get("prompt_tokens"))
        assert reply.usage.output_tokens == usage.get("output_tokens", usage.get("completion_tokens"))
        assert reply.usage.media_tokens == usage.get("image_tokens", usage.get("video_tokens"))
        if "embedding" in body.get("output", {}):
            vector = body["output"]["embedding"]
            assert reply.embedding == struct.pack(f"<{len(vector)}f", *vector)
            assert reply.usage.input_units == usage["total_usage"] == 4
        else:
            assert reply.text == _text(body)
            assert reply.finish_reason == "stop"


def _text(body):
    if "output" in body:
        return "".join(part["text"] for part in body["output"]["choices"][0]["message"]["content"])
    return body["choices"][0]["message"]["content"]


def test_a_retried_429_states_its_wait_and_the_third_reply_is_the_answer(decode):
    first, second, third = answered("oai352__ds_error_429_retry_default")
    for exchange in (first, second):
        fault = decoded("oai352__ds_error_429_retry_default", exchange, decode)
        assert (fault.kind, fault.code, fault.retry_after) == ("throttled", "limit_requests", 0.02)
    assert isinstance(decoded("oai352__ds_error_429_retry_default", third, decode), Reply)


def test_search_results_are_kept_in_extra(decode):
    reply = decoded("oai352__qf_web_search", answered("oai352__qf_web_search")[0], decode)
    assert reply.extra["search_results"] == [{"index": 1, "url": "https://example.com", "title": "t"}]


def test_fields_read_from_a_document_are_kept_in_extra(decode):
    reply = decoded("ds202__mm_ocr", answered("ds202__mm_ocr")[0], decode)
    assert reply.extra["kv_result"] == {"票价": "¥553.00"}
