"""Every published error has the fault that the contract gives its class."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from pipeline.providers import error_body, faults, models
from pipeline.providers.error_body import ErrorInfo

ROWS = json.loads(resources.files("pipeline.providers").joinpath("errors.json").read_text("utf-8"))["rows"]
BLOCKED = {
    "DataInspectionFailed",
    "IPInfringementSuspect",
    "CustomRoleBlocked",
    "image_url_unsafe",
    "system_unsafe",
    "user_setting_unsafe",
    "functions_unsafe",
}
GONE = {"ModelNotFound", "Model.NotExist", "model_not_supported", "model_offline"}
THROTTLING = {"ModelServingError"}


def find(body) -> ErrorInfo:
    found = error_body.find(body)
    assert found is not None
    return found


def names(value):
    return [part.strip() for part in str(value).split(" / ")] if value else []


def expected(row, code):
    if row["class"] == "account" or code in GONE or (code == "invalid_model" and row["http"] == [401]):
        return ("account", "no")
    if code in BLOCKED:
        return ("blocked", "no")
    if row["class"] == "never":
        return ("rejected", "no")
    if row["class"] == "retry_once":
        return ("transient", "once")
    return ("throttled" if 429 in row["http"] or code in THROTTLING else "transient", "yes")


def cases():
    for row in ROWS:
        if row["class"] not in ("retry", "retry_once", "never", "account") or row["code"] == "(none)":
            continue
        texts = [t for t in names(row["message"]) if "Policy expired" not in t] or [""]
        aliases = names(row["compat_code"]) if row["service"] == "dashscope" else []
        for native in names(row["code"]):
            for code in (native, *aliases):
                for status in row["http"]:
                    for text in texts:
                        yield pytest.param(row, native, code, status, text, id=f"{status}-{code}-{text[:25]}")


@pytest.mark.parametrize(("row", "native", "code", "status", "text"), list(cases()))
def test_every_row_of_the_table_has_its_fault(row, native, code, status, text):
    info = ErrorInfo(code=code, message=text)
    assert faults.classify(row["service"], status, info) == expected(row, native)


@pytest.mark.parametrize(("row", "native", "code", "status", "text"), list(cases()))
def test_the_same_error_inside_a_200_has_the_same_fault_where_the_words_tell(row, native, code, status, text):
    """Traps 32, 33 and 43: with no status the code, and then the words, decide."""
    if native in ("Throttling.AllocationQuota", "invalid_model") and not text:
        return
    assert faults.classify(row["service"], 200, ErrorInfo(code=code, message=text)) == expected(row, native)


@pytest.mark.parametrize(
    ("service", "status", "kind", "retry"),
    [
        ("dashscope", 429, "throttled", "yes"),
        ("dashscope", 408, "transient", "yes"),
        ("dashscope", 500, "transient", "yes"),
        ("qianfan", 599, "transient", "yes"),
        ("dashscope", 400, "rejected", "no"),
        ("qianfan", 403, "rejected", "no"),
        ("openai", 413, "rejected", "no"),
        ("openai", 401, "account", "no"),
        ("openai", 402, "account", "no"),
        ("dashscope", 302, "rejected", "no"),
        ("dashscope", 200, "transient", "yes"),
    ],
)
def test_an_unknown_code_goes_by_the_rule(service, status, kind, retry):
    assert faults.classify(service, status, ErrorInfo(code="SomethingNew")) == (kind, retry)


@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "retry"),
    [
        ("insufficient_quota", 429, "You exceeded your current quota, check your plan and billing details.",
         "throttled", "yes"),
        ("insufficient_quota", 429, "Free allocated quota exceeded.", "account", "no"),
        ("Throttling.AllocationQuota", 400, "Free allocated quota exceeded.", "account", "no"),
        ("Throttling.AllocationQuota", 200, "Allocated quota exceeded, please increase your quota limit.",
         "throttled", "yes"),
        ("CommodityNotPurchased", 429, "Commodity has not purchased yet.", "account", "no"),
        ("PostpaidBillOverdue", 429, "", "account", "no"),
        ("Arrearage", 400, "Access denied, make sure your account is in good standing.", "account", "no"),
        ("ServiceUnavailableError", 400, "Role must be user or assistant", "rejected", "no"),
        ("InternalError.Algo.InvalidParameter", 400, "The provided messages input is invalid.", "rejected", "no"),
        ("InternalError.Algo", 500, "list index out of range", "rejected", "no"),
        ("InternalError.Algo", 500, "inference internal error.", "transient", "yes"),
        ("InternalError.Algo", 500, "Missing Content-Length of multimodal url.", "rejected", "no"),
    ],
)  # fmt: skip
def test_traps_37_38_39_code_and_words_go_before_the_status(code, status, message, kind, retry):
    assert faults.classify("dashscope", status, ErrorInfo(code=code, message=message)) == (kind, retry)


def test_trap_42_an_unknown_model_at_qianfan_is_401_and_is_no_key_problem_in_words():
    model = models.find("qianfan", "ernie-9")
    info = ErrorInfo(code="invalid_model", message="The model does not exist or you do not have access to it.")
    fault = faults.fault("qianfan", 401, info, {}, model=model)
    assert fault.kind == "account"
    assert "ernie-9" in fault.message
    assert faults.classify("qianfan", 400, ErrorInfo(code="invalid_model", message="model is empty")) == (
        "rejected",
        "no",
    )


def test_trap_40_url_error_says_that_endpoint_and_model_do_not_match():
    info = ErrorInfo(code="InvalidParameter", message="url error, check url!")
    fault = faults.fault("dashscope", 400, info, {})
    assert fault.kind == "rejected"
    assert "provider.protocol" in fault.message


@pytest.mark.parametrize(("status", "code"), [(404, "ModelNotFound"), (404, "model_not_found"), (403, "AccessDenied")])
def test_trap_66_a_retired_model_says_so_and_names_its_successor(status, code):
    model = models.find("dashscope", "llama3.2-90b-vision-instruct")
    fault = faults.fault("dashscope", status, ErrorInfo(code=code, message="Model can not be found."), {}, model=model)
    assert fault.kind == "account"
    assert "retired on 2025-07-02" in fault.message
    assert "qwen3-vl-plus" in fault.message


def test_trap_56_a_picture_host_without_content_length_is_no_reason_to_send_again():
    for code, text in [("InternalError.Algo", "Missing Content-Length of multimodal url.")]:
        assert faults.classify("dashscope", 500, ErrorInfo(code=code, message=text)) == ("rejected", "no")
    download = ErrorInfo(code="invalid_parameter_error", message="Failed to download multimodal content.")
    assert faults.classify("dashscope", 400, download) == ("transient", "once")


def test_self_hosted_servers_name_a_missing_model_by_its_type():
    vllm = find({"error": {"message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404}})
    fault = faults.fault("openai", 404, vllm, {}, model=models.find("openai", "x"))
    assert (fault.kind, fault.code) == ("account", "NotFoundError")
    assert "check provider.model" in fault.message
    nowhere = faults.fault("openai", 404, find({"detail": "Not Found"}), {})
    assert (nowhere.kind, nowhere.code) == ("rejected", "Http404")
    assert "provider.base_url" in nowhere.message


def test_an_expired_policy_asks_for_a_new_upload():
    info = ErrorInfo(code="AccessDenied", message="Invalid according to Policy: Policy expired.")
    assert faults.classify("dashscope", 403, info) == ("transient", "upload")


@pytest.mark.parametrize(
    ("body", "code", "message", "request_id"),
    [
        ({"code": "X", "message": "m", "request_id": "r"}, "X", "m", "r"),
        ({"error": {"code": "x", "message": "m", "type": "t"}, "id": "as-1"}, "x", "m", "as-1"),
        ({"error": {"code": "x", "message": "m"}, "request_id": "r", "id": "chatcmpl-1"}, "x", "m", "r"),
        ({"code": 336501, "msg": "Rate limit"}, "336501", "Rate limit", None),
        ({"error": "plain words"}, None, "plain words", None),
        ({"object": "error", "message": "m", "code": 40001}, "40001", "m", None),
        ({"detail": "Not Found"}, None, "Not Found", None),
        ({"code": "X", "message": '{"error":{"code":"EngineOverloadedError","message":"busy"}}'}, "X", "busy", None),
    ],
)
def test_traps_41_and_65_every_error_shape_is_read(body, code, message, request_id):
    info = find(body)
    assert info is not None
    assert (info.code, info.message, info.request_id) == (code, message, request_id)


@pytest.mark.parametrize(
    "body",
    [{}, [], None, "x", 3, {"choices": [], "code": None}, {"choices": [1], "error": {}}, {"output": {}, "code": "200"}],
)
def test_what_is_no_error_is_not_read_as_one(body):
    assert error_body.find(body) is None


def test_a_native_code_in_the_words_goes_before_the_compatible_one():
    """Trap 65."""
    text = "<400> InternalError.Algo.DataInspectionFailed: x"
    known = ErrorInfo(code="invalid_parameter_error", message="<400> DataInspectionFailed: bad",
                      native_code="DataInspectionFailed", native_status=400)  # fmt: skip
    assert faults.classify("dashscope", 400, known) == ("blocked", "no")
    nested = find({"error": {"code": "invalid_parameter_error", "message": text}})
    assert nested.native_code == "InternalError.Algo.DataInspectionFailed"
    assert faults.classify("dashscope", 400, nested) == ("blocked", "no")


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details.",
         "account"),
        (429, "rate_limit_exceeded", "Rate limit reached for gpt", "throttled"),
        (401, "invalid_api_key", "Incorrect API key provided: sk-abc", "account"),
        (404, "model_not_found", "The model `x` does not exist", "account"),
        (400, "content_policy_violation", "no", "blocked"),
        (400, "DataInspectionFailed", "DashScope behind this provider", "blocked"),
        (429, "rpm_rate_limit_exceeded", "Qianfan behind this provider", "throttled"),
    ],
)  # fmt: skip
def test_openai_servers_have_their_own_rows_and_fall_back_to_the_others(status, code, message, kind):
    assert faults.classify("openai", status, ErrorInfo(code=code, message=message))[0] == kind


def test_a_fault_keeps_no_key_and_no_signature():
    """Trap 47."""
    words = (
        "Bearer bce-v3/ALTAK-aaaa/bbbb, sk-1234567890, https://x.oss/a.png?Signature=zzz, data:image/png;base64,AAAA"
    )
    fault = faults.fault("qianfan", 429, ErrorInfo(code="c", message=words), {"x-request-id": "h"})
    shown = f"{fault} {fault.message!r}"
    assert not any(secret in shown for secret in ("ALTAK", "1234567890", "zzz", "AAAA", "bbbb"))
    assert fault.request_id == "h"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:05 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 5.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:05 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "9e8"}, 86_400.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0.5s"}, 360.5),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "6m"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({}, None),
    ],
)
def test_trap_53_the_wait_a_service_states_is_read_and_none_is_made_up(headers, wait):
    fault = faults.fault("dashscope", 429, ErrorInfo(code="Throttling"), headers)
    assert fault.retry_after == wait


def test_a_service_that_says_not_to_retry_is_believed():
    fault = faults.fault("dashscope", 500, ErrorInfo(code="InternalError"), {"x-should-retry": "false"})
    assert (fault.kind, fault.retry) == ("transient", "no")


LITELLM = [
    (400, "Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", "budget_exceeded", "400"),
    (429, "Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", "budget_exceeded", "429"),
    (400, "{'error': '/chat/completions: Invalid model name passed in model=gpt-9. Call `/v1/models` to view available "
          "models for your key.'}", "None", "400"),
    (400, "/chat/completions: Invalid model name passed in model=gpt-9", "invalid_request_error", "400"),
    (400, "No connected db.", "no_db_connection", "400"),
    (500, "No models configured on proxy", "None", "500"),
    (401, "Authentication Error - Expired Key. Key Expiry time 1 and current time 2", "expired_key", "401"),
    (401, "Authentication Error, Invalid proxy server token passed", "token_not_found_in_db", "401"),
    (403, "key not allowed to access model.", "key_model_access_denied", "403"),
    (401, "Team not allowed to access model.", "team_model_access_denied", "401"),
    (403, "Access denied", "auth_error", "403"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "message", "kind", "code"), LITELLM, ids=[row[1][:40] for row in LITELLM])
def test_what_litellms_proxy_refuses_for_the_job_is_the_accounts(status, message, kind, code):
    found = find({"error": {"message": message, "type": kind, "param": "None", "code": code}})
    for http in (status, 200):
        fault = faults.fault("openai", http, found, {})
        assert (fault.kind, fault.retry, fault.http_status) == ("account", "no", status)
        assert fault.code not in ("None", "none")


@pytest.mark.parametrize(
    ("message", "kind", "code", "status", "expected"),
    [
        ("litellm.BadRequestError: the picture is broken", "None", "400", 400, ("rejected", "no")),
        ("litellm.BadRequestError: x", "invalid_request_error", "400", 400, ("rejected", "no")),
        ("No deployments available for selected model", "None", "429", 429, ("throttled", "yes")),
        ("Service Unavailable, the database cannot be reached", "no_db_connection", "503", 503, ("transient", "yes")),
        ("litellm.InternalServerError: x", "None", "500", 500, ("transient", "yes")),
    ],
)  # fmt: skip
def test_what_litellms_proxy_says_of_a_row_is_no_account_fault(message, kind, code, status, expected):
    found = find({"error": {"message": message, "type": kind, "param": "None", "code": code}})
    assert faults.classify("openai", status, found) == expected


def test_a_server_pinned_to_another_model_is_the_accounts():
    found = find({"detail": "Server is pinned to 'Qwen/Qwen2.5-VL-3B-Instruct'; requested 'qwen'."})
    assert faults.classify("openai", 400, found) == ("account", "no")
    assert faults.classify("openai", 400, find({"detail": "prompt must be a string."})) == ("rejected", "no")


def test_openrouter_does_not_know_the_model():
    found = find({"error": {"message": "qwen/none is not a valid model ID", "code": 400}, "user_id": "u"})
    assert faults.classify("openai", 400, found) == ("account", "no")
