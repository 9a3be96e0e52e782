"""Splits a byte stream into server-sent events, keeping the comments that other parsers throw away."""

from __future__ import annotations

import re
from typing import NamedTuple

_STATUS = re.compile(rb"\s*HTTP_STATUS/(\d{3})\s*$")


class Event(NamedTuple):
    """One event. `status` is the number in the comment `:HTTP_STATUS/NNN` (DashScope native), or None."""

    data: bytes
    name: str | None
    status: int | None


class Splitter:
    """Takes bytes cut anywhere and gives whole events.

    A line is held as bytes until its end, so that no multi-byte character is torn. The line is held in pieces, so that
    a long line in small chunks costs linear time. Line ends: LF, CRLF, CR. One space after the colon is dropped. A
    field `error`, as llama.cpp's server writes it, is the data of an event with the name `error`.
    """

    __slots__ = ("_data", "_name", "_pieces", "_status")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._data: list[bytes] = []
        self._name: str | None = None
        self._status: int | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        if b"\n" not in chunk:
            if chunk:
                self._pieces.append(chunk)
            return []
        head, _, last = chunk.rpartition(b"\n")
        block = b"".join([*self._pieces, head])
        self._pieces = [last] if last else []
        return self._lines(block)

    def rest(self) -> list[Event]:
        """Returns the events in the last line, at the end of the body.

        If all lines end in CR alone, the last line holds all events.
        """
        block = b"".join(self._pieces)
        self._pieces = []
        return self._lines(block) if block else []

    def unclosed(self) -> list[Event]:
        """Returns the event whose closing empty line never came, if there is such an event. Called after `rest`."""
        return self._dispatch()

    def _lines(self, block: bytes) -> list[Event]:
        events: list[Event] = []
        for line in block.split(b"\n"):
            if line.endswith(b"\r"):
                line = line[:-1]
            for piece in line.split(b"\r") if b"\r" in line else (line,):
                if piece:
                    self._field(piece)
                else:
                    events.extend(self._dispatch())
        return events

    def _field(self, line: bytes) -> None:
        if line.startswith(b"\xef\xbb\xbf"):
            line = line[3:]
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            self._data.append(value)
        elif field == b"error":
            self._data.append(value)
            self._name = "error"
        elif field == b"event":
            self._name = value.decode("utf-8", "replace").strip()
        elif not field and (found := _STATUS.match(value)):
            self._status = int(found[1])

    def _dispatch(self) -> list[Event]:
        data, name, status = self._data, self._name, self._status
        self._data, self._name, self._status = [], None, None
        if not data:
            return []
        return [Event(b"\n".join(data), name, status)]
