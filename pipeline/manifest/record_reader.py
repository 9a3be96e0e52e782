"""The base of the readers of table formats: turns the records of a file into numbered rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from pipeline.errors import ManifestError
from pipeline.manifest.arrow_rows import plain, values_of
from pipeline.manifest.rows import Place, Shaper
from pipeline.types import Row

Record = TypeVar("Record")


class Reader(Protocol):
    """Reads the files of one manifest. A reader is made from the files, the shaper and the encoding (None: not given),
    and raises ManifestError if one of the files cannot be read at all.

    `columns`: the names of all columns if the format gives them, else None. `read` yields the rows of one file from the
    ordinal `start` on, and returns the ordinal after the last row. `first`: the ordinal of the file's first row.
    `name`: the name of the file in a row's `where`. `prefix`: the beginning of the id of a row that cannot be read.
    """

    columns: tuple[str, ...] | None

    def read(self, path: str, name: str, start: int, first: int, prefix: str) -> Generator[Row, None, int]: ...


class RecordReader(ABC, Generic[Record]):
    """A Reader of a format whose records have line numbers. A subclass reads the records and makes rows from them."""

    columns: tuple[str, ...] | None = None

    def __init__(self, shaper: Shaper, encoding: str | None) -> None:
        self.shaper = shaper
        self.encoding = encoding

    @abstractmethod
    def records(self, path: str) -> Iterator[tuple[int, Record]]:
        """Yields (line number from 1, record). Decodes as little as possible: rows before `start` are not needed."""

    @abstractmethod
    def row_maker(self, path: str) -> Callable[[Place, Record], Row]:
        """Returns a function of (place, record) that makes a row of this file. A bad record becomes a
        row with a problem."""

    def read(self, path: str, name: str, start: int, first: int, prefix: str) -> Generator[Row, None, int]:
        """Yields the rows of one file. See Reader."""
        ordinal, make = first, self.row_maker(path)
        for number, record in self.records(path):
            if ordinal >= start:
                yield make(Place(ordinal, f"{name}:{number}", f"{prefix}{number}"), record)
            ordinal += 1
        return ordinal


class BadLine(msgspec.Struct, frozen=True):
    """A line that cannot be read. The line becomes a failure with this message."""

    message: str


Lines = Callable[[str, str | None], Iterator[Any]]
"""A function that yields the lines of a file. Its arguments are the path and `manifest.encoding` or None. For each line
the function yields (line number from 1, mapping of the columns) or (line number, BadLine). Instead of pairs, the
function may yield pyarrow.RecordBatch objects, whose rows are counted from 1."""


class LinesReader(RecordReader[BadLine | Mapping[str, Any]]):
    """Reads with the function `lines` of the format `form`, which may come from another distribution."""

    def __init__(self, form: str, lines: Lines, shaper: Shaper, encoding: str | None) -> None:
        super().__init__(shaper, encoding)
        self._form = form
        self._lines = lines

    def row_maker(self, path: str) -> Callable[[Place, BadLine | Mapping[str, Any]], Row]:
        return self._row

    def _row(self, place: Place, record: BadLine | Mapping[str, Any]) -> Row:
        if isinstance(record, BadLine):
            return self.shaper.bad(place, "BadLine", record.message)
        return self.shaper.row(place, record)

    def records(self, path: str) -> Iterator[tuple[int, BadLine | Mapping[str, Any]]]:
        """Yields (line number, values as JSON would hold them, or a BadLine). Raises ManifestError if `lines` fails."""
        number = 0
        try:
            for found in self._lines(path, self.encoding):
                if isinstance(found, tuple):
                    number, values = found
                    yield number, values if isinstance(values, BadLine) else plain(dict(values))
                else:
                    for values in values_of(found):
                        number += 1
                        yield number, values
        except (OSError, ManifestError):
            raise
        except Exception as error:  # code of another distribution may raise anything
            where = f"behind line {number}" if number else "at its beginning"
            reason = f"{type(error).__name__}: {error}"
            raise ManifestError(f"{path}: the reader of the format {self._form} failed {where}: {reason}") from error
