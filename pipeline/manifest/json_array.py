"""The items of a JSON array in a file, one at a time."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import IO

from pipeline.errors import ManifestError
from pipeline.manifest.lines import MAX_LINE_BYTES

_CHUNK = 1 << 18
# Texts are matched whole; a quote alone is the beginning of one that is not read to its end.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)

CUT_OFF = "the array is cut off: the file ends in this item"
BEHIND = "text stands behind the end of the array"


def items(file: IO[bytes], path: str) -> Iterator[tuple[bytes, str | None]]:
    """The items of the array that `file` (at its beginning) holds, as they are written: (item, None), or at the end
    (rest, what is wrong with the file).

    Raises ManifestError for an item that is longer than a line may be.
    """
    return iter(_Items(file, path))


class _Items:
    """`place`: up to where tokens are read; `depth`: of brackets that are open there, the array's own left out."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file = file
        self._path = path
        self._text = file.read(_CHUNK).removeprefix(b"\xef\xbb\xbf").lstrip().removeprefix(b"[")
        self._place = 0
        self._depth = 0
        self._count = 0

    def __iter__(self) -> Iterator[tuple[bytes, str | None]]:
        while True:
            ended = yield from self._parsed()
            if ended:
                rest = self._text + self._file.read(_CHUNK)
                if rest.strip():
                    yield rest, BEHIND
                return
            more = self._file.read(max(_CHUNK, len(self._text)))
            if not more:
                yield self._text, CUT_OFF
                return
            self._text += more
            if len(self._text) > MAX_LINE_BYTES + len(more):
                raise ManifestError(f"{self._path}: item {self._count + 1} is longer than {MAX_LINE_BYTES:,} bytes")

    def _parsed(self) -> Generator[tuple[bytes, str | None], None, bool]:
        """The items that are whole; whether the array ends with them. What is behind them stays."""
        text, begin, ended = self._text, 0, False
        for token in _TOKEN.finditer(text, self._place):
            mark = token[0]
            if mark == b'"':
                self._place = token.start()
                break
            self._place = token.end()
            if mark in b"[{":
                self._depth += 1
            elif self._depth and mark in b"]}":
                self._depth -= 1
            elif not self._depth and mark in b",]":
                item, begin, ended = text[begin : token.start()], token.end(), mark == b"]"
                if not ended or item.strip():
                    self._count += 1
                    yield item, None
                if ended:
                    break
        self._text = text[begin:]
        self._place -= begin
        return ended
