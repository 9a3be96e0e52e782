"""An error is that error in whatever place it stands, and never an answer or a malformed one."""

from __future__ import annotations

import json

import pytest

from pipeline.types import Reply

SERVICES = ("dashscope", "openai", "qianfan")


def body(value):
    return json.dumps(value, ensure_ascii=False).encode()


def event(value):
    return b"data: " + body(value) + b"\n\n"


CODED = [
    ({"code": "DataInspectionFailed", "message": "x", "output": {}}, "blocked", "DataInspectionFailed"),
    ({"code": "DataInspectionFailed", "message": "x", "output": None}, "blocked", "DataInspectionFailed"),
    ({"code": "DataInspectionFailed", "message": "x", "choices": None}, "blocked", "DataInspectionFailed"),
    ({"choices": [], "code": "Throttling.RateQuota"}, "throttled", "Throttling.RateQuota"),
    ({"output": {"choices": []}, "code": "Throttling.RateQuota"}, "throttled", "Throttling.RateQuota"),
    ({"output": {"choices": [{"message": {"content": []}, "finish_reason": "null"}]}, "code": "Throttling"},
     "throttled", "Throttling"),
    ({"choices": [{"index": 0, "message": {"content": ""}, "finish_reason": None}], "code": "Throttling"},
     "throttled", "Throttling"),
    ({"data": [], "code": "Throttling.RateQuota"}, "throttled", "Throttling.RateQuota"),
    ({"output": {"embeddings": []}, "code": "Throttling.RateQuota"}, "throttled", "Throttling.RateQuota"),
    ({"code": "InvalidApiKey", "message": "Invalid API-key provided.", "output": {"text": None}}, "account",
     "InvalidApiKey"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "code"), CODED, ids=[f"{code}-{n}" for n, (*_, code) in enumerate(CODED)])
@pytest.mark.parametrize("task", ["ask", "ocr", "embed"])
@pytest.mark.parametrize("provider", SERVICES)
def test_a_code_without_a_usable_answer_is_that_error(value, kind, code, task, provider, decode):
    if provider == "qianfan":
        value = {**value, "code": "rpm_rate_limit_exceeded" if kind == "throttled" else value["code"]}
        if kind != "throttled":
            return
    for content in (body(value), event(value), b"event:error\n:HTTP_STATUS/400\n" + event(value)):
        fault = decode(content, provider=provider, task=task)
        assert (fault.kind, fault.code) == (kind, value["code"]), content


@pytest.mark.parametrize("code", [None, "", 0, "0", 200, "200", "Success", "success", "OK", "ok"])
@pytest.mark.parametrize("provider", SERVICES)
def test_a_code_that_says_success_is_no_error(code, provider, decode):
    chat = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], "code": code, "msg": "ok"}
    assert decode(body(chat), provider=provider).text == "hi"
    empty = {"code": code, "message": "", "type": None, "param": ""}
    assert decode(body({**chat, "code": None, "error": empty}), provider=provider).text == "hi"


def test_a_code_beside_a_usable_answer_does_not_lose_it(decode):
    native = {"output": {"choices": [{"message": {"content": [{"text": "hi"}]}, "finish_reason": "stop"}]}, "code": "X"}
    chat = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], "code": "X"}
    vector = {"output": {"embedding": [1.0]}, "code": "X"}
    assert decode(body(native)).text == "hi"
    assert decode(body(chat), provider="openai").text == "hi"
    assert decode(body(vector), task="embed").embedding


STATED = {
    400: ("rejected", "no"),
    401: ("account", "no"),
    402: ("account", "no"),
    403: ("rejected", "no"),
    404: ("rejected", "no"),
    408: ("transient", "yes"),
    422: ("rejected", "no"),
    429: ("throttled", "yes"),
    500: ("transient", "yes"),
    502: ("transient", "yes"),
    503: ("transient", "yes"),
    599: ("transient", "yes"),
}


@pytest.mark.parametrize("status", STATED)
@pytest.mark.parametrize("provider", SERVICES)
def test_a_status_in_the_code_counts_as_the_status(status, provider, decode):
    shapes = [
        {"error": {"message": "m", "code": status}},
        {"error": {"message": "m", "code": str(status)}},
        {"error": {"message": "m", "code": status, "type": "None", "param": "None"}},
        {"error": {"message": "m", "code": None, "status": status}},
        {"error": {"message": "m"}, "status_code": status},
        {"code": status, "message": "m"},
        {"code": str(status), "msg": "m", "choices": []},
        {"statusCode": status, "message": "m"},
        {"error": "m", "status": status},
        [{"error": {"code": status, "message": "m"}}],
    ]
    for shape in shapes:
        for content in (body(shape), event(shape)):
            fault = decode(content, provider=provider)
            assert (fault.kind, fault.retry) == STATED[status], shape
            assert fault.http_status == status, shape
            assert fault.message == "m", shape


@pytest.mark.parametrize("code", [399, 600, 40001, 336501, "4290", 429.5, True, "abc"])
def test_other_numbers_are_codes_and_no_status(code, decode):
    fault = decode(body({"error": {"message": "m", "code": code}}), provider="openai")
    assert (fault.kind, fault.http_status) == ("transient", 200)


def test_the_status_of_http_goes_before_the_one_in_the_body(decode):
    fault = decode(body({"error": {"message": "m", "code": 500}}), provider="openai", status=401)
    assert (fault.kind, fault.http_status) == ("account", 401)
    stated = b"event:error\n:HTTP_STATUS/429\n" + event({"error": {"message": "m", "code": 500}})
    assert decode(stated).kind == "throttled"


ELSEWHERE = [
    ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, "Open api qps request limit reached"),
    ({"success": False, "errors": [{"code": 10000, "message": "Authentication error"}], "result": None},
     "Authentication error"),
    ({"error": ["first", "second"]}, "first"),
    ({"error": True, "message": "upstream failed"}, "upstream failed"),
    ({"message": "The upstream server is timing out"}, "The upstream server is timing out"),
    ({"detail": "Not authenticated"}, "Not authenticated"),
    ([{"error": {"message": "RESOURCE", "status": "RESOURCE_EXHAUSTED"}}], "RESOURCE"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "words"), ELSEWHERE, ids=[words for _, words in ELSEWHERE])
@pytest.mark.parametrize("provider", SERVICES)
def test_the_words_of_an_error_are_found_in_every_shape(value, words, provider, decode):
    fault = decode(body(value), provider=provider)
    assert (fault.kind, fault.message) == ("transient", words)
    assert decode(body(value), provider=provider, status=403).message == words


def test_an_error_event_need_not_be_json(decode):
    for content in (b"event: error\ndata: upstream timed out\n\n", b"error: upstream timed out\n\n"):
        fault = decode(content, provider="openai")
        assert (fault.kind, fault.message) == ("transient", "upstream timed out")


def test_an_error_in_a_field_of_its_own_is_read(decode):
    """llama.cpp's server writes `error: {…}` in place of `data: {…}` (server_sent_event in its server.cpp)."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "half"}, "finish_reason": None}]}
    error = {"code": 500, "message": "the context is full", "type": "server_error"}
    fault = decode(event(chunk) + b"error: " + body(error) + b"\n\n", provider="openai")
    assert (fault.kind, fault.http_status, fault.message) == ("transient", 500, "the context is full")
    assert fault.reply.text == "half"


def test_an_error_event_with_unescaped_quotes_is_that_error(decode):
    """transformers serve writes the message of an error into its JSON without escaping."""
    fault = decode(b'data: {"error": "no kernel "flash" here"}\n\n', provider="openai")
    assert fault.kind == "transient"
    assert "no kernel" in fault.message


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_ended_in_an_error_is_that_error(stream, decode):
    """OpenRouter: `finish_reason: "error"`, with the error beside it, in the choice or nowhere."""
    part = {"delta" if stream else "message": {"content": "half"}}
    bare = {"choices": [{"index": 0, **part, "finish_reason": "error"}]}
    inside = {"choices": [{"index": 0, **part, "finish_reason": "error", "error": {"code": 429, "message": "m"}}]}
    beside = {**bare, "error": {"code": 429, "message": "m"}}
    write = event if stream else body
    assert decode(write(bare), provider="openai").kind == "transient"
    for value in (inside, beside):
        fault = decode(write(value), provider="openai")
        assert (fault.kind, fault.http_status, fault.message) == ("throttled", 429, "m")


def flagged(*flags, **last):
    chunks = [{"choices": [{"index": 0, "delta": {"content": "x"}, "flag": flag}]} for flag in flags]
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    chunks[-1].update(last)
    return b"".join(event(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


@pytest.mark.parametrize("flags", [(1, 0), (0, 3, 0), ("1", "0"), (1, None), (2, False)])
def test_a_flag_once_raised_stays_raised(flags, decode):
    fault = decode(flagged(*flags), provider="qianfan")
    raised = next(flag for flag in flags if flag not in (0, "0", None, False))
    assert (fault.kind, fault.reply.extra["flag"]) == ("blocked", raised)


def test_a_raised_flag_keeps_the_turn_it_is_about(decode):
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "x"}, "flag": 1, "ban_round": 2}]},
        {"choices": [{"index": 0, "delta": {"content": "y"}, "flag": 0, "ban_round": 0, "finish_reason": "stop"}]},
    ]
    fault = decode(b"".join(map(event, chunks)), provider="qianfan")
    assert fault.reply.extra["ban_round"] == 2
    assert decode(flagged(0, 0, flag=1), provider="qianfan").kind == "blocked"
    assert isinstance(decode(flagged(0, 0), provider="qianfan"), Reply)


@pytest.mark.parametrize("stream", [False, True])
def test_a_content_filter_is_blocked_on_every_protocol(stream, decode):
    def chat(reason):
        part = {"delta" if stream else "message": {"content": "no"}}
        return {"choices": [{"index": 0, **part, "finish_reason": reason}]}

    def native(reason):
        return {"output": {"choices": [{"message": {"content": [{"text": "no"}]}, "finish_reason": reason}]}}

    write = event if stream else body
    for reason in ("content_filter", "SAFETY"):
        for provider, value in (("dashscope", native(reason)), ("dashscope", chat(reason)),
                                ("qianfan", chat(reason)), ("openai", chat(reason))):  # fmt: skip
            fault = decode(write(value), provider=provider)
            assert (fault.kind, fault.retry, fault.reply.text) == ("blocked", "no", "no")


def test_a_content_filter_is_not_lost_behind_a_later_stop(decode):
    chunks = [
        {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "content_filter"}]},
        {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]},
    ]
    assert decode(b"".join(map(event, chunks)), provider="openai").kind == "blocked"
