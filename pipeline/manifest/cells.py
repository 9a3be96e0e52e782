"""The types of CSV columns: inferred from a sample, and only where nothing of a cell's spelling is lost.

A column is BIGINT if every cell of the sample is a whole number without leading zeros that fits 64 bits; DOUBLE if all
are such or decimals of at most 15 digits; BOOLEAN if all are true or false; TIMESTAMP if all are ISO 8601 dates with
a time, with or without a zone throughout. Anything else, and an empty column, is text.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_INTEGER = re.compile(r"-?[1-9][0-9]{0,18}|0")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][+-]?[0-9]{1,2})?")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}"
    r"(?::[0-9]{2}(?:\.(?:[0-9]{3}|[0-9]{6}))?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_TRUTH = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}


def infer(names: list[str], rows: Iterable[list[str]]) -> Mapping[str, Callable[[str], Any]]:
    """A converter a column, text → value; a cell that does not fit its column's type comes back as text."""
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
    """15 digits survive the way through a double."""
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
