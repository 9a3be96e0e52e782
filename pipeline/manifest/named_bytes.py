"""Ids of rows whose picture is a struct of its bytes and its path, as Hugging Face data sets have it.

The path is the id. It is often no more than a file's name, which may come again for another picture: then the id of
each row but the first has a piece of the row's hash behind it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.media.redact import redacted
from pipeline.types import Row

if TYPE_CHECKING:
    import pyarrow as pa

HASH_DIGITS = 12


def column_of(schema: pa.Schema, names: Mapping[str, str], id_name: str) -> str | None:
    """The column that gives the ids; None where there is none, or where the table has ids. `names`: column → field."""
    import pyarrow as pa

    if id_name in schema.names:
        return None
    for column in schema:
        kind = column.type
        named = pa.types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}
        if named and names.get(column.name) in ("image", "audio"):
            return str(column.name)
    return None


def paths_in(batches: Iterable[pa.RecordBatch], column: str) -> Iterator[str | None]:
    """The paths in a column of record batches."""
    import pyarrow.compute as pc

    for batch in batches:
        yield from pc.struct_field(batch.column(batch.schema.get_field_index(column)), "path").to_pylist()


class PathIds:
    """`paths`: of all rows in order, None for a row without one; they are read once (24 bytes a row meanwhile)."""

    def __init__(self, column: str, paths: Iterable[str | None]) -> None:
        import numpy as np

        self._column = column
        hashes = np.array(array("q", (hash(path) for path in paths)), dtype=np.int64)
        found, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        again = counts > 1
        self._first: dict[int, int] = dict(zip(found[again].tolist(), first[again].tolist(), strict=True))

    def named(self, row: Row, values: Mapping[str, Any]) -> Row:
        """The row with its path as the id, if it has one."""
        value = values.get(self._column)
        path = value.get("path") if isinstance(value, Mapping) else None
        if row.given or not path:
            return row
        first = self._first.get(hash(path), row.ordinal)
        name = str(redacted(path))
        return msgspec.structs.replace(row, id=name if first == row.ordinal else f"{name}#{row.id[:HASH_DIGITS]}")
