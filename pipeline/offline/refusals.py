"""The errors that the services answer with: status, code and words per protocol, and the bodies they come in."""

from __future__ import annotations

from typing import Any, Literal

Protocol = Literal["native", "compatible", "qianfan"]

# kind → protocol → (HTTP status, code, type, message). A missing protocol answers like `native` (codes of DashScope's
# error page and Qianfan's V2 error page, read in 2026).
_REQUEST = "invalid_request_error"
_TABLE: dict[str, dict[Protocol, tuple[int, str, str, str]]] = {
    "key-missing": {
        "native": (401, "InvalidApiKey", "", "No API-key provided."),
        "compatible": (401, "invalid_api_key", _REQUEST, "You didn't provide an API key."),
        "qianfan": (401, "invalid_iam_token", _REQUEST, "IAM Certification failed"),
    },
    "key-invalid": {
        "native": (401, "InvalidApiKey", "", "Invalid API-key provided."),
        "compatible": (401, "invalid_api_key", _REQUEST, "Incorrect API key provided. "),
        "qianfan": (401, "invalid_iam_token", _REQUEST, "IAM Certification failed"),
    },
    "json": {
        "native": (400, "BadRequest.IllegalInput", "", "The input parameter requires json format."),
        "compatible": (400, "invalid_parameter_error", _REQUEST, "The input parameter requires json format."),
        "qianfan": (400, "malformed_json", _REQUEST, "Invalid Argument"),
    },
    "model-empty": {
        "native": (400, "BadRequest.EmptyModel", "", 'Required parameter "model" missing from request.'),
        "compatible": (400, "invalid_parameter_error", _REQUEST, 'Required parameter "model" missing from request.'),
        "qianfan": (400, "invalid_model", _REQUEST, "model is empty"),
    },
    "input-empty": {
        "native": (400, "BadRequest.EmptyInput", "", "Required input parameter missing from request."),
        "compatible": (400, "invalid_parameter_error", _REQUEST, "Required input parameter missing from request."),
        "qianfan": (400, "invalid_messages", _REQUEST, "messages is empty"),
    },
    "parameter": {
        "native": (400, "InvalidParameter", "", "A parameter is out of its bounds."),
        "compatible": (400, "invalid_parameter_error", _REQUEST, "A parameter is out of its bounds."),
        "qianfan": (400, "invalid_argument", _REQUEST, "A parameter is out of its bounds."),
    },
    "messages": {
        "native": (400, "InvalidParameter", "", "The item of content should be a message of a certain modal."),
        "compatible": (400, "invalid_parameter_error", _REQUEST, "The provided messages input is invalid."),
        "qianfan": (400, "invalid_messages", _REQUEST, "The provided messages input is invalid."),
    },
    "role": {
        "native": (
            400,
            "ServiceUnavailableError",
            "",
            "Role must be user or assistant and Content length must be greater than 0.",
        ),
        "compatible": (400, "invalid_parameter_error", _REQUEST, "Role must be system, user or assistant."),
        "qianfan": (400, "invalid_messages", _REQUEST, "the role of message is invalid"),
    },
    "last-message": {
        "native": (500, "InternalError.Algo", "", "list index out of range"),
        "compatible": (500, "internal_error", "internal_error", "<500> InternalError.Algo: list index out of range"),
        "qianfan": (400, "invalid_messages", _REQUEST, "the last message must be of role user and not blank"),
    },
    "picture": {
        "native": (400, "InvalidParameter", "", "The image format is illegal and cannot be opened."),
        "compatible": (400, "invalid_parameter_error", _REQUEST, "The image format is illegal and cannot be opened."),
        "qianfan": (400, "invalid_image_url", _REQUEST, "the image format is not supported"),
    },
    "picture-sides": {
        "native": (400, "InvalidParameter", "", "The image length and width do not meet the model restrictions."),
        "compatible": (
            400,
            "invalid_parameter_error",
            _REQUEST,
            "<400> InternalError.Algo.InvalidParameter: The image length and width do not meet the model restrictions.",
        ),
        "qianfan": (
            400,
            "invalid_image_url",
            _REQUEST,
            "the image width and height are not within the allowed range",
        ),
    },
    "download": {
        "native": (400, "InvalidParameter", "", "Failed to download multimodal content."),
        "compatible": (400, "invalid_parameter_error", _REQUEST, "Failed to download multimodal content."),
        "qianfan": (400, "invalid_image_url", _REQUEST, "failed to download the image of image_url.url"),
    },
    "tokens": {
        "native": (400, "InvalidParameter", "", "Range of input length should be [1, 30000]"),
        "compatible": (400, "invalid_parameter_error", _REQUEST, "Range of input length should be [1, 30000]"),
        "qianfan": (400, "tokens_too_long", _REQUEST, "Prompt tokens too long"),
    },
    "inspection": {
        "native": (400, "DataInspectionFailed", "", "Input or output data may contain inappropriate content."),
        "compatible": (
            400,
            "data_inspection_failed",
            "data_inspection_failed",
            "Input data may contain inappropriate content.",
        ),
        "qianfan": (400, "image_url_unsafe", "unsafe_request", "the content of image_url.url field is unsafe"),
    },
    "arrears": {
        "native": (400, "Arrearage", "", "Access denied, make sure your account is in good standing."),
        "compatible": (400, "Arrearage", "Arrearage", "Access denied, make sure your account is in good standing."),
        "qianfan": (403, "account_overdue", "access_denied", "Access denied due to overdue account"),
    },
    "model-gone": {
        "native": (404, "ModelNotFound", "", "Model can not be found."),
        "compatible": (
            404,
            "model_not_found",
            _REQUEST,
            "The model does not exist or you do not have access to it.",
        ),
        "qianfan": (403, "model_offline", "access_denied", "The model is offline"),
    },
    "unsupported-model": {
        "native": (400, "InvalidParameter", "", "url error, please check url!"),
        "compatible": (404, "model_not_supported", _REQUEST, "Unsupported model for OpenAI compatibility mode."),
        "qianfan": (401, "invalid_model", _REQUEST, "The model does not exist or you do not have access to it."),
    },
    "asynchronous": {
        "native": (403, "AccessDenied", "", "Current user api does not support asynchronous calls."),
        "compatible": (403, "access_denied", "access_denied", "Access denied."),
        "qianfan": (401, "no_parameter_permission", "access_denied", "asynchronous calls are not supported"),
    },
    "path": {
        "native": (404, "NotFound", "", "Not found!"),
        "compatible": (404, "not_found", _REQUEST, "Not found!"),
        "qianfan": (404, "not_found", _REQUEST, "Not found!"),
    },
    "method": {
        "native": (405, "MethodNotAllowed", "", "Only POST requests are accepted"),
        "compatible": (405, "method_not_supported", _REQUEST, "Only POST requests are accepted"),
        "qianfan": (405, "method_not_supported", _REQUEST, "Only POST requests are accepted"),
    },
    "body": {
        "native": (413, "BadRequest.TooLarge", "", "Payload Too Large."),
        "compatible": (413, "BadRequest.TooLarge", _REQUEST, "Payload Too Large."),
        "qianfan": (413, "characters_too_long", _REQUEST, "Payload Too Large."),
    },
    "rate": {
        "native": (429, "Throttling.RateQuota", "", "Requests rate limit exceeded, please try again later."),
        "compatible": (429, "limit_requests", "limit_requests", "You exceeded your current requests list."),
        "qianfan": (429, "rpm_rate_limit_exceeded", "rate_limit_exceeded", "Rate limit reached for RPM"),
    },
    "token-rate": {
        "native": (
            429,
            "Throttling.AllocationQuota",
            "",
            "Allocated quota exceeded, please increase your quota limit.",
        ),
        "compatible": (
            429,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota, check your plan and billing details.",
        ),
        "qianfan": (429, "tpm_rate_limit_exceeded", "rate_limit_exceeded", "Rate limit reached for TPM"),
    },
    "server": {
        "native": (
            500,
            "InternalError",
            "",
            "An internal error has occured, try again later or contact service support.",
        ),
        "compatible": (500, "internal_error", "internal_error", "An internal error has occured, try again later."),
        "qianfan": (500, "internal_error", "Internal_error", "Internal error"),
    },
    "unavailable": {
        "native": (503, "ModelUnavailable", "", "Model is unavailable, please try again later."),
        "compatible": (503, "ModelUnavailable", "ModelUnavailable", "Model is unavailable, please try again later."),
        "qianfan": (503, "internal_error", "Internal_error", "Internal error"),
    },
    "bad-gateway": {
        "native": (502, "InternalError", "", "An internal error has occured, try again later."),
        "compatible": (502, "internal_error", "internal_error", "An internal error has occured, try again later."),
        "qianfan": (502, "dispatch_internal_error", "Internal_error", "Internal error"),
    },
    "gateway": {
        "native": (504, "GatewayTimeout", "", "The gateway waited too long for the model."),
        "compatible": (504, "GatewayTimeout", "GatewayTimeout", "The gateway waited too long for the model."),
        "qianfan": (504, "dispatch_internal_error", "Internal_error", "Internal error"),
    },
}


class Refusal(Exception):
    """A request that is answered with an error of this kind; `message` replaces the table's words where given."""

    def __init__(self, kind: str, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


def status_of(refusal: Refusal, protocol: Protocol) -> int:
    return _TABLE[refusal.kind][protocol][0]


def body_of(refusal: Refusal, protocol: Protocol, request_id: str) -> dict[str, Any]:
    """The JSON body in the protocol's own shape: flat for native, nested `error` for the two others."""
    _status, code, kind, message = _TABLE[refusal.kind][protocol]
    message = refusal.message or message
    if protocol == "native":
        return {"code": code, "message": message, "request_id": request_id}
    if protocol == "compatible":
        error = {"message": message, "type": kind, "param": None, "code": code}
        return {"error": error, "request_id": request_id}
    return {"error": {"code": code, "message": message, "type": kind}, "id": request_id}
