"""Decodes one HTTP response as it arrives: JSON, server-sent events, an error in any of their shapes, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pipeline.errors import Fault
from pipeline.providers import error_body, faults
from pipeline.providers.error_body import ErrorInfo
from pipeline.providers.redact import excerpt
from pipeline.providers.sse import Event, Splitter
from pipeline.types import Reply

if TYPE_CHECKING:
    from pipeline.providers.models import Model

_DECODE = msgspec.json.Decoder()
_SPACE = b" \t\r\n"
_KEPT_HEAD = 4_096


class Collector(Protocol):
    """Puts an answer together from one whole body or from the frames of a stream."""

    def add(self, body: dict[str, Any], *, stream: bool) -> None:
        """One decoded frame, or the whole body. May raise anything: that makes the answer malformed."""
        ...

    def finished(self) -> bool:
        """Whether the service said why it ended."""
        ...

    def reply(self) -> Reply:
        """What was collected so far; also called for what came before an error."""
        ...

    def judge(self, reply: Reply, *, stream: bool) -> Fault | None:
        """The fault a decoded answer stands for (blocked, partial), or None."""
        ...


class WireReader:
    """One response. What it is shows in its first byte, not in its Content-Type: `{` or `[` is JSON, `<` is markup,
    anything else events, which also come under 4xx (protocol reference §1.4, trap 34)."""

    def __init__(
        self, service: str, model: Model, status: int, headers: Mapping[str, str], collector: Collector
    ) -> None:
        self._service = service
        self._model = model
        self._status = status
        self._headers = headers
        self._collector = collector
        self._chunks: list[bytes] = []
        self._head = b""
        self._events: Splitter | None = None
        self._form = ""
        self._fault: Fault | None = None
        self._frames = 0

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the body, cut anywhere. Never raises."""
        if self._fault is not None or not chunk:
            return
        if len(self._head) < _KEPT_HEAD:
            self._head += chunk[: _KEPT_HEAD - len(self._head)]
        if not self._form:
            start = self._head.removeprefix(b"\xef\xbb\xbf").lstrip(_SPACE)[:1]
            if not start and len(self._head) < _KEPT_HEAD:
                self._chunks.append(chunk)
                return
            self._form = {b"{": "json", b"[": "json", b"<": "markup", b"": "markup"}.get(start, "events")
            if self._form == "events":
                self._events = Splitter()
                chunk = b"".join([*self._chunks, chunk])
                self._chunks = []
        if self._events is not None:
            self._take(self._events.feed(chunk))
        elif self._form == "json" or len(self._chunks) < 8:
            self._chunks.append(chunk)

    def end(self, *, complete: bool = True) -> Reply:
        """The reply. `complete` is False when the connection was cut. Raises Fault."""
        if self._events is not None and self._fault is None:
            self._take(self._events.end(), last_may_be_torn=not complete)
        try:
            if self._fault is not None:
                raise self._fault
            if self._frames:
                return self._stream_reply()
            return self._whole_reply(complete)
        except Fault:
            raise
        except Exception as error:
            raise self._malformed(f"{type(error).__name__} while decoding") from None

    def _take(self, events: list[Event], *, last_may_be_torn: bool = False) -> None:
        for event in events:
            if self._fault is not None:
                return
            if event.data.strip() in (b"[DONE]", b""):
                continue
            try:
                self._frame(event)
            except Fault as fault:
                self._fault = fault
            except Exception as error:
                if not last_may_be_torn:
                    self._fault = self._malformed(f"{type(error).__name__} in an event", event.data)

    def _frame(self, event: Event) -> None:
        body = _DECODE.decode(event.data)
        info = error_body.find(body)
        if info is None and event.name == "error":
            info = ErrorInfo(message=excerpt(event.data))
        if info is None and self._status >= 300:
            info = ErrorInfo(message=excerpt(event.data))
        if info is not None:
            raise self._reported(event.status or self._status, info)
        if not isinstance(body, dict):
            raise TypeError("an event that is no object")
        self._collector.add(body, stream=True)
        self._frames += 1

    def _stream_reply(self) -> Reply:
        reply = self._collector.reply()
        if not self._collector.finished():
            raise self._cut("the stream ended before it was finished", reply)
        return self._judged(reply, stream=True)

    def _whole_reply(self, complete: bool) -> Reply:
        content = b"".join(self._chunks)
        if not content.strip(_SPACE) or self._form != "json":
            raise self._no_json(complete)
        try:
            body = _DECODE.decode(content.removeprefix(b"\xef\xbb\xbf"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._no_json(complete) from None
        info = error_body.find(body)
        if info is None and self._status >= 300:
            info = ErrorInfo(message=excerpt(self._head))
        if info is not None:
            raise self._reported(self._status, info)
        if not isinstance(body, dict):
            raise self._malformed("the answer is no JSON object")
        self._collector.add(body, stream=False)
        return self._judged(self._collector.reply(), stream=False)

    def _judged(self, reply: Reply, *, stream: bool) -> Reply:
        if reply.request_id is None and (identity := self._headers.get("x-request-id")):
            reply = msgspec.structs.replace(reply, request_id=identity)
        fault = self._collector.judge(reply, stream=stream)
        if fault is not None:
            fault.http_status = fault.http_status or self._status
            fault.request_id = fault.request_id or reply.request_id
            fault.reply = reply
            raise fault
        return reply

    def _reported(self, status: int, info: ErrorInfo) -> Fault:
        return faults.fault(self._service, status, info, self._headers, model=self._model, reply=self._partial())

    def _partial(self) -> Reply | None:
        try:
            return self._collector.reply() if self._frames else None
        except Exception:
            return None

    def _no_json(self, complete: bool) -> Fault:
        if self._status >= 300:
            words = excerpt(self._head)
            if 300 <= self._status < 400:
                words = f"the server answers with a redirect, which is not followed: check provider.base_url. {words}"
            return self._reported(self._status, ErrorInfo(message=words))
        if not complete:
            return self._cut("the connection was cut before the answer was whole", None)
        return self._malformed("the answer is not JSON" if self._head.strip(_SPACE) else "the answer is empty")

    def _cut(self, what: str, reply: Reply | None) -> Fault:
        return Fault(
            "transient",
            "Local.StreamCut",
            what,
            http_status=self._status,
            retry="yes",
            request_id=(reply.request_id if reply else None) or self._headers.get("x-request-id"),
            reply=reply,
        )

    def _malformed(self, what: str, content: bytes | None = None) -> Fault:
        words = excerpt(self._head if content is None else content)
        return Fault(
            "malformed",
            "Local.Malformed",
            f"{what}; it begins: {words}" if words else what,
            http_status=self._status,
            retry="once",
            request_id=self._headers.get("x-request-id"),
        )
