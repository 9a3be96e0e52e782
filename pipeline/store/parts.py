"""Parquet parts: their names, which of them count, and how one is written so that no reader ever sees half of it.

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
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import StoreError
from pipeline.machine import pass_on
from pipeline.store.datasets import FORMAT, READABLE, schema
from pipeline.store.disk import Files, replacing, write_all
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 2_000
"""Rows of a row group: one row of a vector search reads 12 MB of 1536-float vectors at most."""

_BUFFER = 2**20
"""Bytes gathered for a write call: pyarrow makes one for every page header."""

_NAME = re.compile(r"(\d{12,})-(\d{12,})(?:\.(\d+))?\.parquet")
_FORMAT_KEY = b"pipeline.format"
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


@contextmanager
def writing(files: Files, path: Path, columns: pa.Schema) -> Iterator[PartWriter]:
    """Yields a writer of tables with these columns; at the end the part is on disk under its name. Raises OSError."""
    with replacing(files, path) as fd:
        writer = PartWriter(files, fd, columns)
        try:
            yield writer
            writer.close()
        finally:
            writer.let_go()


def release_unused() -> None:
    """Gives the system back what pyarrow's allocator has free. The allocator keeps freed memory for the thread that
    used it (measured: 6 MB for each thread that seals, 40 for one that merges) and gives back the calling thread's
    alone: to be called in the thread that wrote, when the tables are gone."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


class PartWriter:
    """Writes one Parquet file. Text is dictionary-coded and compressed by zstd. Vectors are stored as plain floats
    without statistics: random mantissas do not compress, and nobody compares whole vectors."""

    def __init__(self, files: Files, fd: int, columns: pa.Schema) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = columns.with_metadata({_FORMAT_KEY: str(FORMAT).encode()})
        leaves = [leaf for field in columns if not _is_vector(field.type) for leaf in _leaves(field.name, field.type)]
        self._sink = _Sink(files, fd)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            columns,
            compression=dict.fromkeys(leaves, "zstd"),  # a column not named here stays uncompressed
            use_dictionary=leaves,
            write_statistics=leaves,
            store_schema=True,
        )

    def write(self, table: pa.Table, row_group: int) -> None:
        """Adds the rows, `row_group` of them to a row group."""
        self._writer.write_table(table, row_group_size=max(1, min(row_group, table.num_rows)))

    def close(self) -> None:
        """Ends the file; nothing is synced."""
        self._writer.close()
        self._sink.flush()

    def let_go(self) -> None:
        """Writes nothing from here on: pyarrow ends a forgotten file later, when the descriptor may be another's."""
        self._sink.open = False


def write_part(files: Files, path: Path, table: pa.Table) -> None:
    """Writes one whole part. Raises OSError."""
    with writing(files, path, table.schema) as writer:
        writer.write(table, ROW_GROUP)


def write_manifest_state(
    files: Files, path: Path, task: TaskName, first: int, batches: Iterable[pa.RecordBatch]
) -> None:
    """Writes a part of `current` from batches of `id`, `fingerprint`, `stamp`, numbered from `first`."""
    import pyarrow as pa

    fixed = schema("current", task)
    with writing(files, path, fixed) as writer:
        for batch in batches:
            seqs = pa.array(range(first, first + batch.num_rows), pa.int64())
            table = pa.Table.from_arrays([seqs, *batch.columns], names=fixed.names).cast(fixed)
            writer.write(table, table.num_rows)
            first += batch.num_rows


def read_schema(path: Path) -> pa.Schema:
    """A part's Arrow schema. Raises StoreError for a damaged part, and for a format that this version does not read."""
    return read_head(path)[0]


def read_head(path: Path) -> tuple[pa.Schema, int]:
    """A part's Arrow schema and its format. Raises StoreError as `read_schema`."""
    import pyarrow.parquet as pq

    with reading_part(path):
        columns = pq.read_schema(path)
    found = (columns.metadata or {}).get(_FORMAT_KEY, b"none").decode()
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
        told = str(error).partition("\n")[0]
        raise StoreError(
            f"{path} is damaged ({told}). Put it back from a copy, or move it out of the output: "
            "rows whose answers it held are then new, and are sent again by the next run."
        ) from error


def holds_beyond(folder: Path, column: str, limit: int) -> bool:
    """A part of the folder holds a number beyond ±limit in this column, by its statistics. Raises StoreError."""
    import pyarrow.parquet as pq

    for part in live_parts(all_parts(folder)):
        with reading_part(part.path):
            meta = pq.read_metadata(part.path)
        for group in range(meta.num_row_groups):
            for place in range(meta.num_columns):
                found = meta.row_group(group).column(place)
                numbers = found.statistics if found.path_in_schema == column else None
                if numbers is not None and numbers.has_min_max and max(numbers.max, -numbers.min) > limit:
                    return True
    return False


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


def _is_vector(type_: Any) -> bool:
    import pyarrow as pa

    listing = pa.types.is_fixed_size_list(type_) or pa.types.is_list(type_)
    return bool(listing and pa.types.is_float32(type_.value_type))


def _leaves(path: str, type_: Any) -> list[str]:
    """Parquet's own names of the leaf columns under an Arrow field."""
    import pyarrow as pa

    if pa.types.is_list(type_):
        return _leaves(f"{path}.list.element", type_.value_type)
    if pa.types.is_struct(type_):
        return [leaf for field in type_ for leaf in _leaves(f"{path}.{field.name}", field.type)]
    return [path]


class _Sink:
    """A file object for pyarrow over one descriptor. Small writes are gathered."""

    closed = False

    def __init__(self, files: Files, fd: int) -> None:
        self._files = files
        self._fd = fd
        self._size = 0
        self._buffer = bytearray()
        self.open = True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._size += view.nbytes
        if view.nbytes < _BUFFER // 4:
            self._buffer += view
        if len(self._buffer) >= _BUFFER or view.nbytes >= _BUFFER // 4:
            self.flush()
        if view.nbytes >= _BUFFER // 4 and self.open:
            write_all(self._files, self._fd, view)
        return view.nbytes

    def flush(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        if data and self.open:
            write_all(self._files, self._fd, data)

    def tell(self) -> int:
        return self._size

    def close(self) -> None:
        """Does nothing: the owner of the descriptor closes the descriptor."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False
