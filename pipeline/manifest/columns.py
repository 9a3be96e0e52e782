"""The columns of tables: their names, the types of their cells, and columns in the names of folders.

The sample of a column decides the column's type. Empty cells do not count:
  BIGINT     all cells are whole numbers without leading zeros that fit 64 bits
  DOUBLE     all cells are whole numbers as above or decimals of at most 15 digits
  BOOLEAN    all cells are true or false
  TIMESTAMP  all cells are ISO 8601 dates with a time, all with a zone or all without a zone
  text       any other column, and an empty column
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

_INTEGER = re.compile(r"-?[1-9][0-9]{0,18}|0")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][+-]?[0-9]{1,2})?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}"
    r"(?::[0-9]{2}(?:\.(?:[0-9]{3}|[0-9]{6}))?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_TRUTH = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}


def infer(names: list[str], rows: Iterable[list[str]]) -> Mapping[str, Callable[[str], Any]]:
    """Returns a converter for each column (text → value). A cell that does not fit the type of its column stays
    text."""
    kinds: list[set[str]] = [set() for _ in names]
    for cells in rows:
        for kind, cell in zip(kinds, cells, strict=True):
            if cell and "text" not in kind:
                kind.add(_kind(cell))
    return {name: _converter(kind) for name, kind in zip(names, kinds, strict=True)}


def _kind(cell: str) -> str:
    if _integer(cell) is not None:
        return "whole"
    if _decimal(cell) is not None:
        return "decimal"
    if cell in _TRUTH:
        return "truth"
    time = _time(cell)
    if time is not None:
        return "time" if time.tzinfo is None else "zoned"
    return "text"


def _converter(kinds: set[str]) -> Callable[[str], Any]:
    if kinds == {"whole"}:
        return _or_text(_integer)
    if kinds in ({"decimal"}, {"decimal", "whole"}):
        return _or_text(_number)
    if kinds == {"truth"}:
        return _or_text(_TRUTH.get)
    if kinds in ({"time"}, {"zoned"}):
        return _or_text(_time)
    return _text


def _or_text(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def converter(cell: str) -> Any:
        value = convert(cell)
        return cell if value is None else value

    return converter


def _text(cell: str) -> str:
    return cell


def _integer(cell: str) -> int | None:
    if not _INTEGER.fullmatch(cell):
        return None
    value = int(cell)
    return value if -(2**63) <= value < 2**63 else None


def _decimal(cell: str) -> float | None:
    """Returns the number if it has at most 15 digits, which a double keeps exactly; else None."""
    digits = re.split("[eE]", cell, maxsplit=1)[0].replace(".", "").strip("-0")
    return float(cell) if len(digits) <= 15 and _DECIMAL.fullmatch(cell) else None


def _number(cell: str) -> float | None:
    whole = _integer(cell)
    return _decimal(cell) if whole is None else float(whole) if abs(whole) <= 2**53 else None


def _time(cell: str) -> datetime.datetime | None:
    if not cell[:4].isdigit() or not _TIME.fullmatch(cell):
        return None
    try:
        return datetime.datetime.fromisoformat(cell)
    except ValueError:
        return None


def refuse_repeated(names: Sequence[str]) -> None:
    """Raises ValueError, with a message for the user, if a column name is given twice."""
    repeated = next((name for name, count in Counter(names).items() if count > 1 and name), None)
    if repeated is not None:
        places = [str(place) for place, name in enumerate(names, 1) if name == repeated]
        raise ValueError(f"the column name {repeated!r} is given twice (columns {' and '.join(places)})")


def positioned(names: Sequence[str]) -> list[str]:
    """Returns `names` with `column_N` (N from 1) for each empty name; if that name is taken, underscores are added."""
    taken = set(names)
    found = []
    for place, name in enumerate(names, 1):
        if not name:
            name = f"column_{place}"
            while name in taken:
                name += "_"
        found.append(name)
    return found


NULL = "__HIVE_DEFAULT_PARTITION__"
"""The folder of rows whose value is null, as Hive names it."""

_SEGMENT = re.compile(r"([^=]+)=(.*)", re.DOTALL)


def columns_of(path: str) -> dict[str, str | None]:
    """Returns name → value of each folder `name=value` in the path of a file, in order.

    The last part of the path is the file's own name. Percent escapes are decoded: Hive writes them for characters that
    a folder's name may not contain.
    """
    if "=" not in path:
        return {}
    found: dict[str, str | None] = {}
    for segment in path.split("/")[:-1]:
        match = _SEGMENT.fullmatch(segment)
        if match is not None:
            found[unquote(match[1])] = None if match[2] == NULL else unquote(match[2])
    return found


def above(folder: str) -> str:
    """Returns the folders `name=value` at the end of a folder's path, each with a slash after it. They are needed if
    the manifest is a single partition."""
    parts = folder.split("/")
    first = len(parts)
    while first > 0 and "=" in parts[first - 1]:
        first -= 1
    return "".join(f"{part}/" for part in parts[first:])


class Partitions:
    """The columns that the folders of a table's files give. A column has a type other than text only if the values of
    all files fit that type."""

    def __init__(self, names: Iterable[str], folder: str) -> None:
        self._above = above(folder)
        cells: dict[str, dict[str, None]] = {}
        for name in names:
            for column, value in columns_of(self._above + name).items():
                cells.setdefault(column, {})[value or ""] = None
        self.columns = tuple(cells)
        self._types = {column: infer([column], ([cell] for cell in found))[column] for column, found in cells.items()}
        self._last: tuple[str, Mapping[str, Any]] = ("", {})

    def of(self, name: str) -> Mapping[str, Any]:
        """Returns the columns of one file, given by its path below the manifest's folder."""
        last, values = self._last
        if last != name or not values:
            found = columns_of(self._above + name)
            values = {
                column: cell and self._types[column](cell) if column in self._types else cell
                for column, cell in found.items()
            }
            self._last = (name, values)
        return values
