"""What stands before an answer: blanks, byte-order marks and comments that keep a connection alive."""

from __future__ import annotations

import re

_BLANK = b" \t\r\n\x0b\x0c\x00"
_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"[\r\n]")
_STATUS = b":HTTP_STATUS/"
_MOST_HELD = 64


class Lead:
    """Drops what comes before the first byte of the content, however much, and holds at most 64 bytes of it.

    Proxies send blank lines or comments (`: keep-alive`) while the service works. DashScope's `:HTTP_STATUS/NNN` is a
    comment too, but says something of the event that follows: with it the content begins.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """The content from its first byte on; empty as long as none came."""
        rest = self._held + chunk if self._held else chunk
        self._held = b""
        while rest:
            first = rest[:1]
            if first in _BLANK:
                rest = rest.lstrip(_BLANK)
            elif first == b":":
                if rest.startswith(_STATUS):
                    return rest
                end = _LINE_END.search(rest)
                if end is None:
                    self._held = rest[:_MOST_HELD]
                    return b""
                rest = rest[end.end() :]
            elif rest.startswith(_MARK):
                rest = rest[3:]
            elif _MARK.startswith(rest):
                self._held = rest
                return b""
            else:
                return rest
        return b""
