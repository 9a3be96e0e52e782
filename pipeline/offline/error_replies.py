"""The errors that the services answer with: status, code and words per protocol, and the bodies they come in."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

Protocol = Literal["native", "compatible", "qianfan"]


class _Table(msgspec.Struct):
    source: str
    columns: tuple[str, ...]
    kinds: dict[str, dict[Protocol, tuple[int, str, str, str]]]


@cache
def _table() -> dict[str, dict[Protocol, tuple[int, str, str, str]]]:
    """Kind → protocol → HTTP status, code, type, message."""
    return msgspec.json.decode(Path(__file__).with_name("refusals.json").read_bytes(), type=_Table).kinds


class Refusal(Exception):
    """A request that is answered with an error of this kind; `message` replaces the table's words where given."""

    def __init__(self, kind: str, message: str | None = None, *, retry_after: float | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.message = message
        self.retry_after = retry_after


def status_of(refusal: Refusal, protocol: Protocol) -> int:
    return _table()[refusal.kind][protocol][0]


def body_of(refusal: Refusal, protocol: Protocol, request_id: str) -> dict[str, Any]:
    """The JSON body in the protocol's own shape: flat for native, nested `error` for the two others."""
    _status, code, kind, message = _table()[refusal.kind][protocol]
    message = refusal.message or message
    if protocol == "native":
        return {"code": code, "message": message, "request_id": request_id}
    if protocol == "compatible":
        error = {"message": message, "type": kind, "param": None, "code": code}
        return {"error": error, "request_id": request_id}
    return {"error": {"code": code, "message": message, "type": kind}, "id": request_id}
