"""Decodes one HTTP response as it arrives: JSON, server-sent events, an error in any shape of these, or neither."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.errors import Fault
from pipeline.providers import error_body, lenient_json
from pipeline.providers.error_body import ErrorInfo
from pipeline.providers.lenient_json import Lead
from pipeline.providers.response_head import ResponseHead
from pipeline.providers.safe_text import excerpt
from pipeline.providers.sse import Splitter
from pipeline.providers.stream import Accumulator, Frames, judged
from pipeline.types import Reply

if TYPE_CHECKING:
    from pipeline.providers.model import Model

__all__ = ["Accumulator", "WireReader"]

_FORMS = {b"{": "json", b"[": "json", b"<": "markup"}
_EVENTS = re.compile(rb"(?:data|event|id|retry|error)?:")
_FIELDS = (b"data:", b"event:", b"retry:", b"error:", b"id:")
_KEPT_HEAD = 4_096


class WireReader:
    """Decodes one response.

    The first byte of the body tells its form, not the Content-Type: `{` or `[` is JSON, `<` is markup, and any other
    byte starts events, which also come under 4xx (PROTOCOLS.md §1.4, trap 34). Blanks, byte-order marks and comments
    before that byte are ignored, however many there are.
    """

    def __init__(
        self, service: str, model: Model, status: int, headers: Mapping[str, str], accumulator: Accumulator
    ) -> None:
        self._head = ResponseHead(service, model, status, headers)
        self._accumulator = accumulator
        self._lead: Lead | None = None
        self._form = ""
        self._first = b""
        self._chunks: list[bytes] = []
        self._events: Splitter
        self._frames: Frames

    def feed(self, chunk: bytes) -> bool:
        """Takes the next bytes of the body, cut anywhere. Never raises.

        Returns True if the answer of a stream is whole and the chunk held more of the stream. Then the caller need not
        wait for ever for the end of the stream.
        """
        if not self._form:
            chunk = self._begin(chunk)
        if not chunk:
            return False
        if len(self._first) < _KEPT_HEAD:
            self._first += chunk[: _KEPT_HEAD - len(self._first)]
        if self._form == "events":
            return self._stream(chunk)
        if self._form == "json":
            self._chunks.append(chunk)
        return False

    def end(self, *, complete: bool = True) -> Reply:
        """Returns the reply. `complete` is False if the connection was cut. Raises Fault."""
        try:
            return self._stream_reply(complete) if self._form == "events" else self._complete_reply(complete)
        except Fault:
            raise
        except Exception as error:
            raise self._head.malformed(f"{type(error).__name__} while decoding", self._first) from None

    def _begin(self, chunk: bytes) -> bytes:
        """Returns the content in the first chunks and sets the form by it; b"" if no content has come yet."""
        if self._lead is not None or chunk[:1] not in _FORMS:
            self._lead = self._lead or Lead()
            chunk = self._lead.feed(chunk)
        if chunk:
            self._form = _FORMS.get(chunk[:1], "events")
        if self._form == "events":
            self._events = Splitter()
            self._frames = Frames(self._head, self._accumulator)
        return chunk

    def _stream(self, chunk: bytes) -> bool:
        frames = self._frames
        if frames.fault is not None:
            return False
        before = frames.count, frames.done
        try:
            frames.take(self._events.feed(chunk))
        except Exception as error:
            frames.fault = self._head.malformed(f"{type(error).__name__} in an event", chunk)
        return before != (frames.count, frames.done) and frames.is_complete()

    def _stream_reply(self, complete: bool) -> Reply:
        frames = self._frames
        if frames.fault is None:
            frames.take(self._events.rest())
            frames.take(self._events.unclosed(), torn=True)
        if frames.fault is not None:
            raise frames.fault
        if self._head.failed:
            raise self._head.reported(ErrorInfo(message=excerpt(frames.strange or self._first)))
        if frames.count:
            return frames.reply()
        if (frames.done or frames.strange) and not frames.torn:
            raise self._head.malformed("the stream holds no answer", frames.strange)
        if complete and not _are_events(self._first):
            raise self._head.malformed("the answer is not JSON", self._first)
        raise self._head.cut("the stream ended before an answer came")

    def _complete_reply(self, complete: bool) -> Reply:
        if self._form != "json":
            raise self._nothing(complete)
        body, followed = self._body(complete)
        info = error_body.find(body) or (
            error_body.find_message(body) if self._head.failed or _is_no_answer(body) else None
        )
        if info is None and self._head.failed:
            info = ErrorInfo(message=excerpt(self._first))
        if info is not None:
            raise self._head.reported(info)
        if not isinstance(body, dict):
            raise self._head.malformed("the answer is no JSON object", self._first)
        self._accumulator.add(body, stream=False)
        if followed and not self._accumulator.finished():
            raise self._head.malformed("more follows an answer without a finish reason", self._first)
        return judged(self._head, self._accumulator, stream=False)

    def _body(self, complete: bool) -> tuple[Any, bool]:
        """Returns the first JSON value of the body, and whether anything follows that value. Raises Fault."""
        content = b"".join(self._chunks)
        try:
            return lenient_json.strict(content), False
        except Exception:
            parsed = lenient_json.lenient(content)
        if parsed.values:
            return parsed.values[0], len(parsed.values) > 1 or bool(parsed.rest)
        if self._head.failed:
            raise self._head.reported(ErrorInfo(message=excerpt(self._first)))
        if not complete or (parsed.cut and not self._head.announced):
            raise self._head.cut("the answer stopped in the middle")
        raise self._head.malformed("the answer is not JSON", self._first)

    def _nothing(self, complete: bool) -> Fault:
        """Returns the fault for a response that is neither JSON nor a stream."""
        if self._head.failed:
            words = excerpt(self._first)
            if self._head.status < 400:
                words = f"the server answers with a redirect, which is not followed: check provider.base_url. {words}"
            return self._head.reported(ErrorInfo(message=words))
        if not complete:
            return self._head.cut("the connection was cut before the answer was whole")
        if self._form:
            return self._head.malformed("the answer is not JSON", self._first)
        if self._head.announced:
            return self._head.malformed("the answer is empty")
        return self._head.cut("the connection was closed before an answer came")


def _are_events(first: bytes) -> bool:
    """Tells whether a body begins like a stream of events. The body may end in the middle of the first word."""
    return _EVENTS.match(first) is not None or any(field.startswith(first) for field in _FIELDS)


def _is_no_answer(body: Any) -> bool:
    return isinstance(body, dict) and not ("choices" in body or "output" in body or "data" in body)
