"""Makes the faults of a response, with the status, request id and service of the response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.errors import Fault
from pipeline.providers import faults
from pipeline.providers.error_body import ErrorInfo
from pipeline.providers.safe_text import excerpt

if TYPE_CHECKING:
    from pipeline.providers.model import Model
    from pipeline.types import Reply


class ResponseHead:
    """The head of one response. Its methods make the faults of the body that follows."""

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
        """Tells whether the head states the length of the body.

        If that many bytes came, the service wrote no more. Without a stated length, the connection may have been closed
        in the middle of the body.
        """
        return "content-length" in self.headers

    def reported(self, info: ErrorInfo, *, status: int | None = None, reply: Reply | None = None) -> Fault:
        """Returns the fault for an error that the service reported. status: the status beside an event, if known."""
        return faults.fault(self.service, status or self.status, info, self.headers, model=self.model, reply=reply)

    def cut(self, what: str, reply: Reply | None = None) -> Fault:
        """Returns the fault for an answer whose rest never came."""
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
        """Returns the fault for a body that is no answer. The message holds the first bytes of `content`."""
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
        """Adds status, request id and reply to the fault of a decoded answer, and returns that fault."""
        fault.http_status = fault.http_status or self.status
        fault.request_id = fault.request_id or reply.request_id
        fault.reply = reply
        return fault
