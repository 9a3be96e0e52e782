"""The faults that a response stands for, with what is known of the response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.errors import Fault
from pipeline.providers import faults
from pipeline.providers.error_body import ErrorInfo
from pipeline.providers.safe_text import excerpt

if TYPE_CHECKING:
    from pipeline.providers.models import Model
    from pipeline.types import Reply


class ResponseHead:
    """The head of one response, and the faults made of what follows it."""

    __slots__ = ("headers", "model", "service", "status")

    def __init__(self, service: str, model: Model, status: int, headers: Mapping[str, str]) -> None:
        self.service = service
        self.model = model
        self.status = status
        self.headers = headers

    @property
    def failed(self) -> bool:
        return self.status >= 300

    @property
    def announced(self) -> bool:
        """Whether the length of the body stands in the head: where it came true, the service wrote no more than that;
        where none was given, the connection may have been closed in the middle."""
        return "content-length" in self.headers

    def reported(self, info: ErrorInfo, *, status: int | None = None, reply: Reply | None = None) -> Fault:
        """An error in the service's words. status: the one that stands beside an event, if one does."""
        return faults.fault(self.service, status or self.status, info, self.headers, model=self.model, reply=reply)

    def cut(self, what: str, reply: Reply | None = None) -> Fault:
        """The rest of the answer never came."""
        return Fault(
            "transient",
            "Local.StreamCut",
            what,
            http_status=self.status,
            retry="yes",
            request_id=(reply.request_id if reply else None) or self.headers.get("x-request-id"),
            reply=reply,
        )

    def malformed(self, what: str, content: bytes = b"") -> Fault:
        """What came is no answer; the message holds its first bytes."""
        words = excerpt(content)
        return Fault(
            "malformed",
            "Local.Malformed",
            f"{what}; it begins: {words}" if words else what,
            http_status=self.status,
            retry="once",
            request_id=self.headers.get("x-request-id"),
        )

    def of_answer(self, fault: Fault, reply: Reply) -> Fault:
        """A fault that a decoded answer stands for, with the answer."""
        fault.http_status = fault.http_status or self.status
        fault.request_id = fault.request_id or reply.request_id
        fault.reply = reply
        return fault
