"""Puts an answer together from the events of a stream. Other data before, between and after these events is ignored."""

from __future__ import annotations

import re
from typing import Any, Protocol

import msgspec

from pipeline.errors import Fault
from pipeline.providers import error_body, lenient_json, reply_fields
from pipeline.providers.error_body import ErrorInfo
from pipeline.providers.response_head import ResponseHead
from pipeline.providers.safe_text import excerpt
from pipeline.providers.sse import Event
from pipeline.types import Reply

_ANSWER = frozenset({"choices", "data", "output", "usage"})
_IDLE = frozenset({"done", "end", "heartbeat", "keep-alive", "keepalive", "ping"})
_BROKEN_ERROR = re.compile(r'\{\s*"error"\s*:')
_DONE = b"[DONE]"


class Accumulator(Protocol):
    """Puts an answer together from one whole body or from the frames of a stream."""

    def add(self, body: dict[str, Any], *, stream: bool) -> None:
        """Takes one decoded frame, or the whole body. May raise any exception: then the answer is malformed."""
        ...

    def finished(self) -> bool:
        """Tells whether the service stated why the answer ended."""
        ...

    def closed(self) -> bool:
        """Tells whether the last data that the service sends came, with or without a finish reason."""
        ...

    def reply(self) -> Reply:
        """Returns the answer collected so far. Also called for the part of an answer that came before an error."""
        ...

    def judge(self, reply: Reply, *, stream: bool) -> Fault | None:
        """Returns the fault of a decoded answer (blocked, partial), or None."""
        ...


class Frames:
    """Collects the events of one stream, and decides how the stream ended:

    | finish reason | usage in a chunk of its own | `[DONE]` | |
    | --- | --- | --- | --- |
    | yes | any | any | the answer; later data (errors, garbage, a cut) does not count |
    | no | yes | yes | the answer: the service reached its end |
    | no | one of the two | | suspect: the text is kept, a person may accept it; not sent again automatically |
    | no | no | no | transient: the rest never came, whether the stream was cut or closed; sent again |

    An error before the answer is whole becomes the fault, with the part of the answer that came before. Events that are
    no piece of the answer (pings, comments, unknown objects, words) are ignored at any place. A piece that cannot be
    read makes the answer malformed, unless the answer was whole before.
    """

    def __init__(self, head: ResponseHead, accumulator: Accumulator) -> None:
        self.fault: Fault | None = None
        self.count = 0
        self.done = False
        self.strange = b""
        self.torn = False
        self._head = head
        self._failed = head.failed
        self._accumulator = accumulator

    def take(self, events: list[Event], *, torn: bool = False) -> None:
        """Takes the next events. torn: the body ended before the last event was closed."""
        for event in events:
            if self.fault is not None:
                return
            try:
                body = lenient_json.strict(event.data)
            except Exception:
                self._odd(event, torn)
            else:
                self._frame(event, body)

    def is_complete(self) -> bool:
        """Tells whether the answer is whole. Later data cannot change a whole answer."""
        if self.fault is not None:
            return False
        return self._accumulator.finished() or (self.done and _says(self._so_far()))

    def reply(self) -> Reply:
        """Returns the answer of a stream that held a piece of an answer.

        Raises Fault, or any exception of the accumulator.
        """
        reply = judged(self._head, self._accumulator, stream=True)
        if self._accumulator.finished():
            return reply
        closed = self._accumulator.closed()
        if self.done and not _says(reply):
            raise self._head.malformed("the stream holds no answer", self.strange)
        if not _says(reply) or not (self.done or closed):
            raise self._head.cut("the stream ended before it was finished", reply)
        if not (self.done and closed):
            raise self._head.of_answer(reply_fields.partial(), reply)
        return reply

    def _frame(self, event: Event, body: Any) -> None:
        info = error_body.find(body)
        if info is None and (self._failed or event.name == "error"):
            info = error_body.find_message(body)
        if info is None and event.name == "error":
            info = ErrorInfo(message=excerpt(event.data))
        if info is not None and event.name not in _IDLE:
            self._error(event, info)
        elif self._failed or not isinstance(body, dict) or _ANSWER.isdisjoint(body):
            self._odd_one(event)
        else:
            try:
                self._accumulator.add(body, stream=True)
                self.count += 1
            except Exception as error:
                if not self.is_complete():
                    self.fault = self._head.malformed(f"{type(error).__name__} in an event", event.data)
        if event.name == "done":
            self.done = True

    def _error(self, event: Event, info: ErrorInfo) -> None:
        if not self.is_complete():
            self.fault = self._head.reported(info, status=event.status, reply=self._so_far())

    def _odd(self, event: Event, torn: bool) -> None:
        """Takes an event whose data is not one JSON value: the end mark, words, several values, half of a value."""
        if event.data.strip() == _DONE:
            self.done = True
            return
        parsed = lenient_json.lenient(event.data)
        for value in parsed.values:
            if self.fault is None:
                self._frame(event, value)
        rest = parsed.rest.strip(' \t\r\n"')
        if self.fault is not None:
            return
        if rest == _DONE.decode() or event.name == "done":
            self.done = True
        elif not rest:
            return
        elif event.name == "error" or _BROKEN_ERROR.match(rest):
            self._error(event, ErrorInfo(message=excerpt(event.data)))
        elif rest[:1] in ("{", "[") and not self._failed:
            self.torn = torn and parsed.cut
            if not self.torn and not self.is_complete():
                self.fault = self._head.malformed("an event cannot be read", event.data)
        else:
            self._odd_one(event)

    def _odd_one(self, event: Event) -> None:
        if not self.strange and event.name not in _IDLE:
            self.strange = event.data

    def _so_far(self) -> Reply | None:
        try:
            return self._accumulator.reply() if self.count else None
        except Exception:
            return None


def _says(reply: Reply | None) -> bool:
    return reply is not None and bool(reply.text or reply.embedding)


def judged(head: ResponseHead, accumulator: Accumulator, *, stream: bool) -> Reply:
    """Returns the collected answer. Raises Fault if the answer is a fault. Raises any exception of the accumulator."""
    reply = accumulator.reply()
    if reply.request_id is None and (identity := head.headers.get("x-request-id")):
        reply = msgspec.structs.replace(reply, request_id=identity)
    fault = accumulator.judge(reply, stream=stream)
    if fault is not None:
        raise head.of_answer(fault, reply)
    return reply
