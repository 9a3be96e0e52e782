"""Finds the error in a response body, in all the shapes the services use."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_NATIVE_IN_TEXT = re.compile(r"^\s*<(\d{3})>\s*([A-Za-z][\w.]{2,80}):\s*(.*)$", re.DOTALL)
_ANSWER_KEYS = ("output", "choices", "data", "embedding")


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a service said. `native_code` and `native_status` come from a text like `<400> NativeCode: text`."""

    code: str | None = None
    message: str = ""
    kind: str | None = None
    request_id: str | None = None
    native_code: str | None = None
    native_status: int | None = None


def find(body: Any) -> ErrorInfo | None:
    """The error a decoded JSON value stands for, or None if it is an answer.

    Shapes: `{code, message, request_id}` (DashScope native), `{error: {code, message, type}, id | request_id}`
    (OpenAI, Qianfan), `{code, msg, type}` (Qianfan, flat), `{error: "text"}`, `{detail: …}` and
    `{object: "error", message}` (self-hosted servers). Any object with a code and no answer is an error,
    whatever the HTTP status (protocol reference §1.4, §4.4, traps 32, 41, 65).
    """
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    if isinstance(inner, dict) and inner:
        return _info(inner, body)
    if isinstance(inner, str) and inner:
        return _info({"message": inner, **{k: v for k, v in body.items() if k != "error"}}, body)
    if any(body.get(key) is not None for key in _ANSWER_KEYS):
        return None
    if _text(body.get("code")) not in (None, "0", "Success", "200"):
        return _info(body, body)
    if body.get("object") == "error" or ("detail" in body and len(body) <= 2):
        return _info(body, body)
    return None


def _info(error: dict[str, Any], outer: dict[str, Any]) -> ErrorInfo:
    message = _words(error)
    code = _text(error.get("code"))
    kind = _text(error.get("type"))
    nested = _nested(message)
    if nested is not None:
        message = _words(nested) or message
        code = code or _text(nested.get("code"))
        kind = kind or _text(nested.get("type"))
    found = _NATIVE_IN_TEXT.match(message)
    return ErrorInfo(
        code=code,
        message=message,
        kind=kind,
        request_id=_request_id(error, outer),
        native_code=found[2] if found else None,
        native_status=int(found[1]) if found else None,
    )


def _words(error: dict[str, Any]) -> str:
    for key in ("message", "msg", "error_msg", "detail"):
        value = error.get(key)
        if isinstance(value, str) and value:
            return value
        if value and not isinstance(value, str):
            return msgspec.json.encode(value).decode()
    return ""


def _nested(message: str) -> dict[str, Any] | None:
    """A message may itself be JSON holding `{"error": {…}}` (overloaded engines, protocol reference §1.4)."""
    if not message.lstrip().startswith("{"):
        return None
    try:
        value = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
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
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None
