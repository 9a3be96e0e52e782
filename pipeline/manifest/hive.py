"""Columns in the names of folders: `dt=2026-11-01/part.parquet`, as Hive, Spark and DuckDB lay out a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from pipeline.manifest.cells import infer

NULL = "__HIVE_DEFAULT_PARTITION__"
"""The folder of rows whose value is null, as Hive names it."""

_SEGMENT = re.compile(r"([^=]+)=(.*)", re.DOTALL)


def columns_of(path: str) -> dict[str, str | None]:
    """Name → value of each folder `name=value` in the path of a file (its last part is the file's own name), in order.
    Percent escapes are decoded, as Hive writes characters that no folder's name may hold."""
    if "=" not in path:
        return {}
    found: dict[str, str | None] = {}
    for segment in path.split("/")[:-1]:
        match = _SEGMENT.fullmatch(segment)
        if match is not None:
            found[unquote(match[1])] = None if match[2] == NULL else unquote(match[2])
    return found


def above(folder: str) -> str:
    """The folders `name=value` at the end of a folder's path, with a slash behind each: one partition named alone has
    the columns that its name says."""
    parts = folder.split("/")
    first = len(parts)
    while first > 0 and "=" in parts[first - 1]:
        first -= 1
    return "".join(f"{part}/" for part in parts[first:])


class Partitions:
    """The columns of a table's files, by each file's path below the manifest's folder. A column has a type other than
    text where the values of all files have it."""

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
        """The columns of one file."""
        last, values = self._last
        if last != name or not values:
            found = columns_of(self._above + name)
            values = {
                column: cell and self._types[column](cell) if column in self._types else cell
                for column, cell in found.items()
            }
            self._last = (name, values)
        return values
