"""The ids of rows. A given id keeps its spelling; without an id, a path or a hash is used.

If a table gives the paths of its images, the path is the id. If several rows have the same path, a part of the row's
hash is added to the id of each row except the first.
"""

from __future__ import annotations

import datetime
import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import refusal
from pipeline.media.redact import redacted
from pipeline.types import Row

if TYPE_CHECKING:
    import pyarrow as pa


def literal_id(value: Any, literal: str | None, name: str) -> str | None:
    """Returns the id as text: `literal` (its spelling in the file) if given, else the text of the value.

    Returns None for an empty text and for NaN. Raises Fault `Local.BadField` for a boolean, a list, a table or bytes.
    """
    if type(value) is str:
        return value or None
    if value is None or value != value:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, datetime.date)):
        raise refusal("BadField", f"{name}: found {described(value)}, expected text or a number")
    if literal is not None:
        return literal
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def derived_id(fields: Mapping[str, Any]) -> str:
    """Returns 32 hex digits: half of the SHA-256 of the row's fields as written, in canonical JSON.

    `fields` are the fields under their own names, so that neither `[columns]` nor another column changes the id. If a
    row has no fields (the job's prompt uses only columns), the caller gives the row's columns; otherwise all rows
    without fields would have the same id.
    """
    canonical = msgspec.json.encode(fields, order="sorted", enc_hook=str)
    return hashlib.sha256(canonical).hexdigest()[:32]


def described(value: Any) -> str:
    """Returns a value's description for a message: its type; for numbers, booleans and short texts also the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, Decimal)):
        return f"the number {value}" if len(str(value)) < 40 else "a number"
    if isinstance(value, str):
        return f"the text {value[:40]!r}" if len(value) <= 40 else "a text"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return "a table" if isinstance(value, Mapping) else f"a {type(value).__name__}"


HASH_DIGITS = 12


def column_of(schema: pa.Schema, names: Mapping[str, str], id_name: str) -> str | None:
    """Returns the column whose paths become the ids, or None. `names`: column → field. `id_name`: the column of ids."""
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
    """Yields the paths in a column of record batches, None for a row without a path."""
    import pyarrow.compute as pc

    for batch in batches:
        yield from pc.struct_field(batch.column(batch.schema.get_field_index(column)), "path").to_pylist()


class PathIds:
    """Uses the paths in the column `column` as ids.

    `paths`: the paths of all rows in order, None for a row without a path. The paths are read once. The reading takes
    24 bytes a row.
    """

    def __init__(self, column: str, paths: Iterable[str | None]) -> None:
        import numpy as np

        self._column = column
        hashes = np.array(array("q", (hash(path) for path in paths)), dtype=np.int64)
        found, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        again = counts > 1
        self._first: dict[int, int] = dict(zip(found[again].tolist(), first[again].tolist(), strict=True))

    def named(self, row: Row, values: Mapping[str, Any]) -> Row:
        """Returns the row with its path as the id if the row has a path and no given id."""
        value = values.get(self._column)
        path = value.get("path") if isinstance(value, Mapping) else None
        if row.given or not path:
            return row
        first = self._first.get(hash(path), row.ordinal)
        name = str(redacted(path))
        return msgspec.structs.replace(row, id=name if first == row.ordinal else f"{name}#{row.id[:HASH_DIGITS]}")
