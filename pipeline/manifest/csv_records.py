"""The records of CSV text. A broken record does not affect the lines after it."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence

from pipeline.manifest.lines import MAX_LINE_BYTES, TOO_LONG

LOOKED_AT = 1_000
"""How many lines of a broken record are checked to decide whether the lines are rows of their own."""
WHOLE = 0.9
"""The share of the checked lines that must have as many cells as the header has names."""

Line = tuple[int, str | None]


CsvRecord = tuple[list[str], tuple[str, str] | None]
Record = tuple[int, CsvRecord]
"""(number of the first line, (cells, None)), or (number, ([], (code, message))) for a record that is not a row."""


class _TooLong(Exception):
    """A line that is longer than MAX_LINE_BYTES."""


class Records:
    """The records of `lines`, with `width` cells each. Blank lines are left out.

    An unclosed quote joins all lines up to the next quote into one record. The first line of such a record is a
    failure. If nearly all of the other lines are whole rows, the other lines are read again. Otherwise (a broken text
    of several lines) each other line is a failure, except the last line, which is read again. The same is done with a
    whole record if one of the cells `one_line` (names of files) contains lines that are rows. `literal`: a broken line
    is split at each delimiter, and keeps its quotes.
    """

    def __init__(
        self,
        lines: Iterator[tuple[int, bytes | None]],
        width: int,
        delimiter: str,
        *,
        spaced: bool = False,
        literal: bool = False,
        one_line: Sequence[int] = (),
    ) -> None:
        # The limit of the module `csv` (131,072) holds for the whole process, and is too low for a data: URL.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
        self._lines = lines
        self._width = width
        self._delimiter = delimiter
        self._spaced = spaced
        self._literal = literal
        self._one_line = one_line
        self._taken: list[Line] = []
        self._back: deque[Line] = deque()
        self._tail = 0  # the number of the line that ended a broken record

    def __iter__(self) -> Iterator[Record]:
        taken, width = self._taken, self._width
        reader = self._reader()
        while True:
            taken.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, _TooLong) as error:
                yield from self._broken(error)
                reader = self._reader()  # the old reader ended with the error
                continue
            if len(cells) == width and len(taken) == 1 and taken[0][0] != self._tail:
                yield taken[0][0], (cells, None)
            elif cells:
                yield from self._doubted(cells)
                reader = self._reader() if self._back else reader

    def _reader(self) -> Iterator[list[str]]:
        """Returns a strict reader: an unclosed quote is an error. A lenient reader would put half the file into one
        cell."""
        return csv.reader(self._fed(), delimiter=self._delimiter, strict=True, skipinitialspace=self._spaced)

    def _fed(self) -> Iterator[str]:
        taken = self._taken
        while self._back:
            taken.append(self._back.popleft())
            yield _text(taken[-1])
        for number, line in self._lines:
            if line is None:
                taken.append((number, None))
                raise _TooLong
            text = line.decode("utf-8", errors="surrogateescape")
            taken.append((number, text))
            yield text

    def _doubted(self, cells: list[str]) -> Iterator[Record]:
        """Yields the records for valid CSV that does not look like a row."""
        number, first = self._taken[0]
        last = self._taken[-1][0]
        if len(self._taken) == 1 and len(cells) == self._width:
            if first is not None and first.count('"') % 2:
                yield self._bad(number, "the line belongs to the broken one before it")
            else:
                yield number, (cells, None)
        elif len(cells) == self._width and self._is_doubtful(cells):
            yield from self._reread(f"lines {number} to {last} would be one name: {_OPEN}")
        elif len(cells) == self._width:
            yield number, (cells, None)
        else:
            found = f"has {len(cells)} cells, the header {self._width}"
            where = "the line" if number == last else f"the record of lines {number} to {last}"
            yield from self._split() or [self._bad(line, f"{where} {found}") for line, _ in self._taken]

    def _is_doubtful(self, cells: list[str]) -> bool:
        """Tells whether a cell with the name of a file contains lines that are rows."""
        between = self._between()
        return bool(between) and any("\n" in cells[place] for place in self._one_line) and self._are_rows(between)

    def _broken(self, error: Exception) -> Iterator[Record]:
        number, text = self._taken[0]
        if text is None:
            yield number, ([], ("LineTooLong", TOO_LONG))
        elif split := self._split():
            yield from split
        elif len(self._taken) == 1 and not _is_open(error):
            self._tail = number + 1 if text.count('"') % 2 else 0
            yield self._bad(number, f"the line is not CSV: {error}")
        else:
            yield from self._reread(_OPEN)

    def _reread(self, message: str) -> Iterator[Record]:
        """Reads the lines of a broken record again, except the first, which is a failure. The lines between the first
        and the last are failures too unless they are rows."""
        (number, _), *rest = self._taken
        between = self._between()
        yield self._bad(number, message)
        if not self._are_rows(between):
            told = f"the line belongs to the broken record of lines {number} to {rest[-1][0]}"
            yield from (self._bad(line, told) for line, _ in between)
            between = []
        self._tail = rest[-1][0] if rest else 0
        self._back.extendleft(reversed([*between, *rest[-1:]]))

    def _between(self) -> list[Line]:
        return [line for line in self._taken[1:-1] if line[1] is None or line[1].strip("\r\n")]

    def _are_rows(self, found: list[Line]) -> bool:
        looked_at = found[:LOOKED_AT]
        return sum(self._is_whole(text) for _, text in looked_at) >= WHOLE * len(looked_at)

    def _is_whole(self, text: str | None) -> bool:
        if text is None:
            return False
        try:
            cells = next(csv.reader([text], delimiter=self._delimiter, strict=True), [])
        except csv.Error:
            return False
        return len(cells) == self._width

    def _split(self) -> list[Record]:
        """Returns the record of the first line, split at its delimiters. Returns an empty list if quotes are not plain
        characters or the split does not give a row."""
        number, text = self._taken[0]
        cells = (text or "").rstrip("\r\n").split(self._delimiter) if self._literal else []
        if len(cells) != self._width:
            return []
        self._back.extendleft(reversed(self._taken[1:]))
        return [(number, (cells, None))]

    def _bad(self, number: int, message: str) -> Record:
        return number, ([], ("BadLine", message))


_OPEN = "a quote is opened and not closed in this line"


def _is_open(error: Exception) -> bool:
    return isinstance(error, _TooLong) or "unexpected end of data" in str(error)


def _text(line: Line) -> str:
    if line[1] is None:
        raise _TooLong
    return line[1]
