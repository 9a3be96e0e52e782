"""Parquet parts: their names, which parts count, and how a part is read.

A part is named by the first and last `seq` of what it was made from: `000000000001-000000002000.parquet`. A merged
part carries a generation as well, `000000000001-000000100000.2.parquet`, and replaces every part of a lower generation
whose numbers lie within its own: the rename that gives it its name is the switch, and views decide by the names alone.
`000000000000-000000000000.parquet` holds no rows: it is the list of all columns with the types they are read as.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import StoreError
from pipeline.machine import pass_on
from pipeline.store.datasets import READABLE

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 2_000
"""Rows of a row group: one row of a vector search reads 12 MB of 1536-float vectors at most."""

_NAME = re.compile(r"(\d{12,})-(\d{12,})(?:\.(\d+))?\.parquet")
FORMAT_KEY = b"pipeline.format"
SCHEMA_PART = f"{0:012d}-{0:012d}.parquet"


class Part(NamedTuple):
    """One part by its name."""

    first: int
    last: int
    generation: int
    path: Path

    def covers(self, other: Part) -> bool:
        """This part replaces the other."""
        return self.generation > other.generation and self.first <= other.first and other.last <= self.last


def part_name(first: int, last: int, generation: int = 0) -> str:
    return f"{first:012d}-{last:012d}{f'.{generation}' if generation else ''}.parquet"


def all_parts(folder: Path) -> list[Part]:
    """All parts in the folder, replaced ones too, in the order of their numbers; without the one that holds no rows."""
    found = []
    for path in folder.glob("*.parquet"):
        match = _NAME.fullmatch(path.name)
        if match is not None and path.name != SCHEMA_PART:
            found.append(Part(int(match[1]), int(match[2]), int(match[3] or 0), path))
    return sorted(found)


def live_parts(parts: Iterable[Part]) -> list[Part]:
    """The parts that count: those which no other one replaces."""
    parts = list(parts)
    merged = [part for part in parts if part.generation]
    return [part for part in parts if not any(other.covers(part) for other in merged)]


def read_schema(path: Path) -> pa.Schema:
    """A part's Arrow schema. Raises StoreError for a damaged part, and for a format that this version does not read."""
    return read_head(path)[0]


def read_head(path: Path) -> tuple[pa.Schema, int]:
    """A part's Arrow schema and its format. Raises StoreError as `read_schema`."""
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
    """Around the reading of one part: what its bytes do not allow becomes a StoreError; the machine's errors pass."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        pass_on(error)
        # What pyarrow itself finds wrong has no number; what the system refuses has one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).partition("\n")[0]
        raise StoreError(
            f"{path} is damaged ({reason}). Put it back from a copy, or move it out of the output: "
            "rows whose answers it held are then new, and are sent again by the next run."
        ) from error


def refuse_damaged(folders: Iterable[Path]) -> None:
    """Reads every part that counts, and the lists of columns, to the last byte. Raises StoreError for the first damaged
    one: for when DuckDB has met something it cannot read."""
    import pyarrow.parquet as pq

    for folder in folders:
        lists = [folder / SCHEMA_PART] if (folder / SCHEMA_PART).exists() else []
        for path in (*lists, *(part.path for part in live_parts(all_parts(folder)))):
            read_schema(path)
            with reading_part(path), pq.ParquetFile(path) as source:
                for _ in source.iter_batches(ROW_GROUP):
                    pass
