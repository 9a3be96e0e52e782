"""The header of a CSV file: the names of its columns, and how its lines are to be cut."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator

import msgspec

from pipeline.errors import ManifestError
from pipeline.manifest.column_names import positioned, refuse_repeated
from pipeline.manifest.encodings import not_encoded
from pipeline.manifest.lines import lines
from pipeline.manifest.rows import Shaper
from pipeline.manifest.unused import kind_of_text

DELIMITERS = (",", "\t", ";", "|")
"""In the order in which they are believed where a header has as many of several."""
MOST_LINES = 100
"""Lines that one header may have (a line break in a quoted name)."""

_EXCEL = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""The first line by which Excel is told the delimiter."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """`lines`: how many lines of the file stand before the first row. `spaced`: a blank behind each delimiter is no
    part of the cells."""

    names: list[str]
    delimiter: str
    lines: int
    spaced: bool = False


def header(path: str, delimiter: str | None, shaper: Shaper, encoding: str | None) -> Header:
    """The header of a file. `delimiter`: None = found out.

    Names keep their blanks where the output is one of 0.1.0, which took them so. Raises ManifestError for a header that
    names no columns or one of them twice, and for a first line that holds data.
    """
    as_written = shaper.as_written
    taken = _first(path, encoding)
    before = 0
    if taken and (told := _EXCEL.fullmatch(taken[0])):
        delimiter, before = told[1], 1
        taken = _first(path, encoding, behind=1)
    if delimiter is None:
        delimiter = _delimiter("".join(taken), as_written=as_written)
    try:
        cells = next(csv.reader(taken, delimiter=delimiter, strict=True, skipinitialspace=not as_written), [])
    except csv.Error as error:
        raise ManifestError(f"{path}:{before + 1}: the header cannot be read: the line is not CSV: {error}") from None
    names = cells if as_written else [cell.strip() for cell in cells]
    if not any(names):
        raise ManifestError(f"{path}: the file has no header; the first line names the columns")
    _check(path, names, shaper.mapped.values())
    spaced = not as_written and f"{delimiter} " in "".join(taken) and any(_is_spaced(taken, delimiter))
    return Header(names=positioned(names), delimiter=delimiter, lines=before + len(taken), spaced=spaced)


def _first(path: str, encoding: str | None, behind: int = 0) -> list[str]:
    """The lines of the first record: as many as it takes to close its quotes, and no blank ones before it."""
    found: list[str] = []
    for number, line in lines(path, encoding):
        if number <= behind:
            continue
        try:
            found.append((line or b"").decode())
        except UnicodeDecodeError:
            told = not_encoded(line or b"", encoding).replace("the line", "the header", 1)
            raise ManifestError(f"{path}: {told}") from None
        if "".join(found).count('"') % 2 == 0 or len(found) == MOST_LINES:
            return found
    return found


def _delimiter(text: str, *, as_written: bool) -> str:
    """The mark that stands most often in the header, outside quotes."""
    if as_written:
        return next((mark for mark in DELIMITERS[:3] if mark in text), ",")
    bare = re.sub(r'"(?:[^"]|"")*"', "", text)
    return max(DELIMITERS, key=bare.count)


def _is_spaced(taken: list[str], delimiter: str) -> Iterator[bool]:
    """For each name but the first, whether a blank stands before it."""
    cells = next(csv.reader(taken, delimiter=delimiter), [])
    return (cell.startswith(" ") and bool(cell.strip()) for cell in cells[1:])


def _check(path: str, names: list[str], mapped: Collection[str]) -> None:
    try:
        refuse_repeated(names)
    except ValueError as error:
        raise ManifestError(f"{path}: {error}") from None
    data = next((name for name in names if name not in mapped and kind_of_text(name) is not None), None)
    if data is not None:
        raise ManifestError(
            f"{path}: the first line holds {data[:100]!r}, which is data and no column's name; "
            "write the names of the columns before it, such as id,image"
        )
