"""Finds the error in a response body, in all the shapes that the services use."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pipeline.providers import lenient_json, reply_fields

_NATIVE_IN_TEXT = re.compile(r"^\s*<(\d{3})>\s*([A-Za-z][\w.]{2,80}):\s*(.*)$", re.DOTALL)
_CODES = ("code", "error_code", "errorCode")
_STATUSES = (*_CODES, "status", "status_code", "statusCode")
_WORDS = ("message", "msg", "error_msg", "errorMessage", "detail")
_SUCCESS = frozenset({"", "0", "200", "ok", "success"})
_NOTHING = frozenset({"none", "null"})


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The error that a service reported.

    status: an HTTP status that stands in the body, for errors under HTTP 200. `native_code` and `native_status` come
    from a text like `<400> NativeCode: text`.
    """

    code: str | None = None
    message: str = ""
    kind: str | None = None
    request_id: str | None = None
    status: int | None = None
    native_code: str | None = None
    native_status: int | None = None


def find(body: Any) -> ErrorInfo | None:
    """Returns the error in a decoded JSON value, or None if the value is an answer or a piece of an answer.

    Shapes: `{code, message, request_id}` (DashScope native), `{error: {code, message, type}, id | request_id}`
    (OpenAI, Qianfan), `{code, msg, type}` (Qianfan, flat), `{error: "text"}`, `{detail: …}` and
    `{object: "error", message}` (self-hosted servers), `{errors: [{…}]}`, `[{error: {…}}]` and
    `{choices: [{finish_reason: "error", error: {…}}]}` (gateways). Any object with a code and without a usable answer
    is an error, whatever the HTTP status (PROTOCOLS.md §1.4, §4.4, traps 32, 41, 65). An empty `error`
    (`{"message": "", "code": null}`) is not an error.
    """
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    if inner and (found := _inner(inner, body)) is not None:
        return found
    choices = body.get("choices")
    if choices and isinstance(choices, list) and isinstance(choices[0], dict) and choices[0].get("error"):
        return _inner(choices[0]["error"], body)
    if (choices or body.get("output")) and body.get("code") is None:
        return None
    return None if _answers(body) else _flat(body)


def find_message(body: Any) -> ErrorInfo | None:
    """Returns the same as `find`, or else any message in the body. For a body that is known to be no answer."""
    found = find(body)
    if found is None and isinstance(body, dict) and not _answers(body) and _message(body):
        return _info(body, body)
    return found


def _inner(error: Any, outer: dict[str, Any]) -> ErrorInfo | None:
    """Returns the error that stands under a key of its own, or None if that error is empty."""
    if isinstance(error, list):
        error = error[0]
    if isinstance(error, dict):
        code = _code(error)
        says = _message(error) and (code or "x").lower() not in _SUCCESS
        return _info(error, outer) if says or (code or "").lower() not in _SUCCESS or _text(error.get("type")) else None
    if isinstance(error, str) and not error.strip():
        return None
    rest = {key: value for key, value in outer.items() if key != "error"}
    return _info({"message": error, **rest} if isinstance(error, str) else rest, outer)


def _flat(body: dict[str, Any]) -> ErrorInfo | None:
    """Returns the error of a body that holds no answer, or None."""
    if errors := body.get("errors"):
        return _inner(errors, body)
    if (_code(body) or "").lower() not in _SUCCESS or _status(body) is not None:
        return _info(body, body)
    if body.get("object") == "error" or ("detail" in body and len(body) <= 2):
        return _info(body, body)
    return None


def _answers(body: dict[str, Any]) -> bool:
    """Tells whether the body holds a usable answer or a piece of an answer."""
    output = body.get("output")
    holder = output if isinstance(output, dict) else body
    if holder.get("embedding") or holder.get("embeddings") or body.get("data"):
        return True
    choices = holder.get("choices")
    return isinstance(choices, list) and any(_says(choice) for choice in choices)


def _says(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    if reply_fields.later(None, choice.get("finish_reason")) not in (None, reply_fields.FAILED):
        return True
    message = choice.get("message") or choice.get("delta")
    return isinstance(message, dict) and any(value for key, value in message.items() if key != "role")


def _info(error: dict[str, Any], outer: dict[str, Any]) -> ErrorInfo:
    message = _message(error)
    code = _code(error)
    kind = _text(error.get("type"))
    nested = _nested(message)
    if nested is not None:
        message = _message(nested) or message
        code = code or _code(nested)
        kind = kind or _text(nested.get("type"))
    found = _NATIVE_IN_TEXT.match(message)
    status = _status(error) or (None if error is outer else _status(outer))
    return ErrorInfo(
        code=code,
        message=message,
        kind=kind or _text(error.get("status") if status is None else None),
        request_id=_request_id(error, outer),
        status=status,
        native_code=found[2] if found else None,
        native_status=int(found[1]) if found else None,
    )


def _message(error: dict[str, Any]) -> str:
    for key in _WORDS:
        value = error.get(key)
        if isinstance(value, str) and value:
            return value
        if value and not isinstance(value, str):
            return msgspec.json.encode(value).decode()
    return ""


def _code(error: dict[str, Any]) -> str | None:
    for key in _CODES:
        if (value := error.get(key)) is not None and (found := _text(value)) is not None:
            return found
    return None


def _status(error: dict[str, Any]) -> int | None:
    """Returns an HTTP status from 400 to 599 that stands as a code or status, as a number or as text; else None."""
    for key in _STATUSES:
        if (value := error.get(key)) is None:
            continue
        text = _text(value) or ""
        if len(text) == 3 and text.isascii() and text.isdigit() and 400 <= int(text) <= 599:
            return int(text)
    return None


def _nested(message: str) -> dict[str, Any] | None:
    """Returns the inner error of a message that is itself JSON with `{"error": {…}}`, or None.

    Overloaded engines send such messages (PROTOCOLS.md §1.4).
    """
    if not message.lstrip().startswith("{"):
        return None
    try:
        value = lenient_json.decode(message.encode())
    except ValueError:
        return None
    inner = value.get("error") if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else None


def _request_id(error: dict[str, Any], outer: dict[str, Any]) -> str | None:
    for holder in (outer, error):
        for key in ("request_id", "id", "requestId"):
            value = holder.get(key)
            if isinstance(value, str) and value:
                return value
    return None


def _text(value: Any) -> str | None:
    """Returns a code as text, or None. LiteLLM's proxy writes the word "None" for a missing code."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value).strip()
    return None if not text or text.lower() in _NOTHING else text
