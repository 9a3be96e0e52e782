"""Reads a `.json` file: an array of objects, or one object a line."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from typing import IO, Any

import msgspec

from pipeline.errors import ManifestError
from pipeline.manifest.fields import spans_lines
from pipeline.manifest.jsonl import JsonlReader
from pipeline.manifest.lines import MAX_LINE_BYTES, open_bytes, refuse_other
from pipeline.manifest.record_reader import BadLine
from pipeline.manifest.rows import Place, Shaper
from pipeline.types import Row

_CHUNK = 1 << 18
# A text is matched as a whole. A quote mark alone is the beginning of a text whose end is not read yet.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)

CUT_OFF = "the array is cut off: the file ends in this item"
BEHIND = "text stands behind the end of the array"


def items(file: IO[bytes], path: str) -> Iterator[tuple[bytes, str | None]]:
    """Yields the items of the array in `file`, undecoded, as (item, None). If the file is damaged, the last pair is
    (rest of the file, reason).

    Raises ManifestError for an item that is longer than a line may be.
    """
    return iter(_Items(file, path))


class _Items:
    """Splits an array into items. `_place`: where the next token begins. `_depth`: the number of open brackets there,
    without the bracket of the array."""

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
        """Yields the complete items in the text. Returns whether the array ends. The rest of the text is kept."""
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


_HEAD_BYTES = 1 << 24
_LISTS = frozenset({"messages", "contents"})
"""Fields of a row that are lists of tables. A list of tables under another name is probably the table itself."""


class JsonReader(JsonlReader):
    """An array of objects. A file with one object a line is read as JSONL.

    In messages and ids, the item's place in the array (from 1) is used in the place of a line number."""

    def __init__(self, files: list[str], shaper: Shaper, encoding: str | None) -> None:
        for path in files:
            refuse_other(path, encoding)
        self._lined = [path for path in files if not _is_array(path, encoding)]
        super().__init__(self._lined, shaper, encoding)

    def records(self, path: str) -> Iterator[tuple[int, Any]]:
        if path in self._lined:
            yield from super().records(path)
            return
        with open_bytes(path, self.encoding) as file:
            for number, (item, problem) in enumerate(items(file, path), 1):
                yield number, item if problem is None else BadLine(problem)

    def row_maker(self, path: str) -> Callable[[Place, Any], Row]:
        return super().row_maker(path) if path in self._lined else self._item

    def _item(self, place: Place, record: bytes | BadLine) -> Row:
        if isinstance(record, BadLine):
            return self.shaper.bad(place, "BadLine", record.message)
        return self.row("item", place, record)


def _is_array(path: str, encoding: str | None) -> bool:
    """Returns True for an array of objects, False for one object a line. Raises ManifestError for anything else."""
    with open_bytes(path, encoding) as file:
        head = file.read(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"["):
        return True
    rest = head.partition(b"\n")[2]
    if head and not head.startswith(b"{"):
        raise ManifestError(f"{path}: expected an array of objects, or one object a line")
    if head and (spans_lines(head) or not rest.strip()) and (problem := _problem(head)) is not None:
        raise ManifestError(f"{path}: {problem}")
    return False


def _problem(head: bytes) -> str | None:
    """Returns why a file with a single object is not a table, and what the user can do; None if it is a table."""
    several = head.strip().count(b"\n") > 0
    one = "this is one object over several lines, or several such objects, and no array of them; jq -s . makes an array"
    try:
        found: Any = msgspec.json.decode(head)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return one if several else None
    tables = [key for key, value in found.items() if key not in _LISTS and _is_table(value)]
    if tables:
        return f"this is one object, whose {tables[0]!r} is a list of rows; take it out: jq -c '.{tables[0]}[]'"
    if found and all(isinstance(value, dict) for value in found.values()):
        return 'this is one object with a table of values a column; in pandas, write to_json(…, orient="records")'
    return one if several else None


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(isinstance(item, dict) for item in value)
