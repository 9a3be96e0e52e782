"""Parquet parts: their names, which parts count, and how a part is read.

A part is named by the first and last `seq` of the records that it was made from: `000000000001-000000002000.parquet`.
The name of a merged part also has a generation: `000000000001-000000100000.2.parquet`. A merged part replaces every
part of a lower generation whose numbers lie within its own numbers. The replacement happens at the moment when the
merged part is renamed to its final name, because views decide by the names alone. `000000000000-000000000000.parquet`
has no rows: this part lists all columns with the types as which they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import StoreError
from pipeline.machine import pass_on
from pipeline.store.datasets import READABLE

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 10_000
"""Rows of a row group without vectors. Five times as many small row groups make a plan over a million rows slower. A
merge with 20,000 rows in a row group holds 30 MB more."""
VECTOR_ROW_GROUP = 250
"""Rows of a row group with vectors, 1.5 MB of vectors of 1536 floats. pyarrow holds several copies of the rows that it
writes or reads: with 500 rows, a run holds 26 MB more, with 2,000 rows 50 MB more."""

_NAME = re.compile(r"(\d{12,})-(\d{12,})(?:\.(\d+))?\.parquet")
FORMAT_KEY = b"pipeline.format"
SCHEMA_PART = f"{0:012d}-{0:012d}.parquet"


class Part(NamedTuple):
    """A part, with the numbers and the generation that its name gives."""

    first: int
    last: int
    generation: int
    path: Path

    def covers(self, other: Part) -> bool:
        """Tells whether this part replaces the other part."""
        return self.generation > other.generation and self.first <= other.first and other.last <= self.last


def row_group(columns: pa.Schema) -> int:
    """Returns the rows of a row group with these columns."""
    return VECTOR_ROW_GROUP if any(is_vector(field.type) for field in columns) else ROW_GROUP


def is_vector(type_: Any) -> bool:
    """Tells whether a column of this Arrow type holds vectors of float32."""
    import pyarrow as pa

    listing = pa.types.is_fixed_size_list(type_) or pa.types.is_list(type_)
    return bool(listing and pa.types.is_float32(type_.value_type))


def part_name(first: int, last: int, generation: int = 0) -> str:
    return f"{first:012d}-{last:012d}{f'.{generation}' if generation else ''}.parquet"


def all_parts(folder: Path) -> list[Part]:
    """Returns all parts in the folder in the order of their numbers, also replaced parts.

    The part without rows is left out.
    """
    found = []
    for path in folder.glob("*.parquet"):
        match = _NAME.fullmatch(path.name)
        if match is not None and path.name != SCHEMA_PART:
            found.append(Part(int(match[1]), int(match[2]), int(match[3] or 0), path))
    return sorted(found)


def live_parts(parts: Iterable[Part]) -> list[Part]:
    """Returns the parts that count: the parts that no other part replaces."""
    parts = list(parts)
    merged = [part for part in parts if part.generation]
    return [part for part in parts if not any(other.covers(part) for other in merged)]


def read_schema(path: Path) -> pa.Schema:
    """Returns a part's Arrow schema. Raises StoreError for a damaged part, and for a format that is not in READABLE."""
    return read_head(path)[0]


def read_head(path: Path) -> tuple[pa.Schema, int]:
    """Returns a part's Arrow schema and its format. Raises the same errors as `read_schema`."""
    import pyarrow.parquet as pq

    with reading_part(path):
        columns = pq.read_schema(path)
    found = (columns.metadata or {}).get(FORMAT_KEY, b"none").decode()
    if found not in map(str, READABLE):
        raise StoreError(
            f"{path} is in format {found}; this version reads {', '.join(map(str, READABLE))}. "
            "Open this output with the version that wrote it, or set another output."
        )
    return columns.remove_metadata(), int(found)


@contextmanager
def reading_part(path: Path) -> Iterator[None]:
    """Wraps the reading of one part. Raises StoreError if the part is damaged. Errors of the machine pass unchanged."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        pass_on(error)
        # An error that pyarrow itself finds has no errno. An error of the system has an errno.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).partition("\n")[0]
        raise StoreError(
            f"{path} is damaged ({reason}). Put it back from a copy, or move it out of the output: "
            "rows whose answers it held are then new, and are sent again by the next run."
        ) from error


def refuse_damaged(folders: Iterable[Path]) -> None:
    """Reads every part that counts, and the parts without rows, to the last byte. Raises StoreError for the first
    damaged part. Called after DuckDB could not read something."""
    import pyarrow.parquet as pq

    for folder in folders:
        lists = [folder / SCHEMA_PART] if (folder / SCHEMA_PART).exists() else []
        for path in (*lists, *(part.path for part in live_parts(all_parts(folder)))):
            read_schema(path)
            with reading_part(path), pq.ParquetFile(path) as source:
                for _ in source.iter_batches(VECTOR_ROW_GROUP):
                    pass
