"""Turns the error of a service into a Fault, by status, code and message. Uses the table and never guesses at words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pipeline.errors import Fault, FaultKind
from pipeline.providers import declared, hints
from pipeline.providers.error_body import ErrorInfo
from pipeline.providers.error_table import ErrorRow, rows
from pipeline.providers.safe_text import clean

if TYPE_CHECKING:
    from pipeline.providers.model import Model
    from pipeline.types import Reply

Retry = Literal["yes", "once", "no", "upload"]

BLOCKED = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "customroleblocked",
        "data_inspection_failed",
        "datainspectionfailed",
        "functions_unsafe",
        "image_url_unsafe",
        "ipinfringementsuspect",
        "system_unsafe",
        "user_setting_unsafe",
    }
)
MODEL_GONE = frozenset(
    {
        "model.notexist",
        "model_not_found",
        "model_not_supported",
        "model_offline",
        "modelnotfound",
    }
)
PROXY_PASSWORD = 407
PROXY_HINT = "a proxy asks for a user and a password: set HTTPS_PROXY or HTTP_PROXY as http://user:password@host:port"
NEVER_DONE = frozenset({501, 505})
"""The 5xx statuses that are about the request: the server lacks the method or the version (RFC 9110 §15.6)."""
_MAYBE_GONE = ("invalid_model", "accessdenied", "access_denied", "notfounderror", "not_found_error")
_NO_PATH = ("", "404", "notfound", "not_found", "unknown_url")
URL_ERROR = "url error, check url"
URL_ERROR_HINT = "the model and the endpoint do not match, it is not about the picture's URL: check provider.protocol, \
provider.base_url and provider.model"


def classify(service: str, status: int, info: ErrorInfo) -> tuple[FaultKind, Retry]:
    """Returns the kind of the fault, and whether another attempt helps.

    service: the provider's name. status: the status of HTTP or of the in-stream comment; 2xx counts as not known, then
    the code alone decides. Rows are chosen by code, then by their published text, then by status. A native code in the
    text (`<400> InternalError.Algo…: …`) goes before the compatible code. If no row fits, the status decides: 408, 429
    and 5xx are sent again, 401, 402 and 407 are account faults, 501, 505 and any other 3xx or 4xx are final
    (errors.json `rule`). If HTTP says 2xx, a status in the body counts: some gateways answer in this way.
    """
    status = effective(status, info)
    message = info.message
    if "policy expired" in message.lower():
        return "transient", "upload"
    if info.native_code:
        row = _find(service, info.native_code, info.native_status or status, message)
        if row is not None:
            return _kind(row, info, info.native_status or status)
    for name in (info.code, info.kind):
        row = _find(service, name, status, message) if name else None
        if row is not None:
            return _kind(row, info, status)
    row = _by_words(service, status, message)
    if row is not None:
        return _kind(row, info, status)
    return _by_status(info.native_status if status < 300 and info.native_status else status)


def effective(status: int, info: ErrorInfo) -> int:
    """Returns the status of HTTP, or the status in the body if HTTP says 2xx."""
    return info.status if status < 300 and info.status is not None else status


def fault(
    service: str,
    status: int,
    info: ErrorInfo,
    headers: Mapping[str, str],
    *,
    model: Model | None = None,
    reply: Reply | None = None,
) -> Fault:
    """Returns the Fault for an error that a service reported. The message is cleaned of keys, data and signed queries.

    The fault reports `status`, or the status in the body under a 2xx.
    """
    kind, retry = classify(service, status, info)
    stated = hints.read(headers)
    if stated.should_retry is False and retry in ("yes", "once"):
        retry = "no"
    told = effective(status, info)
    code = _shown_code(info, told)
    message = _explained(clean(info.message) or f"HTTP {told} without words", code, info, kind, model)
    if status == 404 and kind == "rejected" and (info.code or "").lower() in _NO_PATH:
        message += " (nothing answers at this address: check provider.base_url and provider.protocol)"
    if told == PROXY_PASSWORD and kind == "account":
        message += f" ({PROXY_HINT})"
    return Fault(
        kind,
        clean(code, 120),
        message,
        http_status=told,
        retry=retry,
        retry_after=stated.wait if retry in ("yes", "once") else None,
        request_id=info.request_id or headers.get("x-request-id"),
        reply=reply,
    )


def _find(service: str, code: str, status: int, message: str) -> ErrorRow | None:
    """Returns the row for a code or for the ending of a code, or None.

    `InternalError.Algo.DataInspectionFailed` finds the row of DataInspectionFailed.
    """
    tables = (service, *declared(service, "ERROR_TABLES"))
    pieces = code.lower().split(".")
    for start in range(len(pieces)):
        for name in tables:
            found = rows(name).get(".".join(pieces[start:]))
            if found:
                return _best(found, status, message)
    return None


def _by_words(service: str, status: int, message: str) -> ErrorRow | None:
    """Returns the row for a server that gives no code, found by the published words, or None."""
    if not message:
        return None
    fitting = [row for row in rows(service).get("", ()) if status in row.http or status < 300]
    return next((row for row in fitting if row.match(message)), None)


def _best(found: tuple[ErrorRow, ...], status: int, message: str) -> ErrorRow:
    known = status >= 300

    def rank(row: ErrorRow) -> tuple[int, bool, int, bool]:
        fits = status in row.http if known else 429 in row.http
        return (row.match(message) if fits or not known else 0), fits, row.match(message), row.general

    return max(found, key=rank)


def _kind(row: ErrorRow, info: ErrorInfo, status: int) -> tuple[FaultKind, Retry]:
    code = row.code.lower()
    if row.family == "account" or code in MODEL_GONE or (code == "invalid_model" and _is_unknown_model(status, info)):
        return "account", "no"
    if code in BLOCKED:
        return "blocked", "no"
    if row.family == "never":
        return "rejected", "no"
    throttling = 429 in row.http or "throttl" in info.message.lower()
    if throttling and row.family == "retry":
        return "throttled", "yes"
    return "transient", "once" if row.family == "retry_once" else "yes"


def _is_unknown_model(status: int, info: ErrorInfo) -> bool:
    return status == 401 or "does not exist" in info.message.lower()


def _by_status(status: int) -> tuple[FaultKind, Retry]:
    if status == 429:
        return "throttled", "yes"
    if status in (401, 402, PROXY_PASSWORD):
        return "account", "no"
    if status in NEVER_DONE:
        return "rejected", "no"
    if status == 408 or status >= 500 or status < 300:
        return "transient", "yes"
    return "rejected", "no"


def _shown_code(info: ErrorInfo, status: int) -> str:
    """Returns the code of the service. If the code only repeats the status, returns the type of the error."""
    code = info.kind if info.code == str(status) and info.kind else info.code
    return code or info.native_code or info.kind or f"Http{status}"


def _explained(message: str, code: str, info: ErrorInfo, kind: FaultKind, model: Model | None) -> str:
    if URL_ERROR in info.message.lower():
        return f"{message} ({URL_ERROR_HINT})"
    code = code.lower()
    if code == "model_not_supported":
        return f'{message} (this model has no OpenAI-compatible route: set provider.protocol = "native")'
    if kind == "account" and model is not None and (code in MODEL_GONE or code in _MAYBE_GONE):
        return f"{message} ({model_hint(model)})"
    return message


def model_hint(model: Model) -> str:
    """Returns advice for a person about a model that the service does not serve."""
    retired = model.retired
    if retired is None:
        return f"{model.name} is not open to this key or not served under this name: check provider.model"
    what = "was announced to retire" if retired.announced else "was retired"
    successor = f"; use {retired.successor}" if retired.successor else "; choose a current model"
    return f"{model.name} {what} on {retired.date}{successor}"
