"""Writes Parquet parts. No reader ever sees half of a part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.store.datasets import FORMAT, schema
from pipeline.store.disk import Files, replacing, write_all
from pipeline.store.parts import FORMAT_KEY, is_vector, row_group
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

_BUFFER = 2**20
"""Bytes that are gathered for one write call. Without this, pyarrow makes a write call for every page header."""

_VECTOR_PAGE = 2**24
"""Bytes of a page in a file with vectors: the vectors of a row group are one page, so that `search` reads single
vectors in place."""


@contextmanager
def writing(files: Files, path: Path, columns: pa.Schema) -> Iterator[PartWriter]:
    """Yields a writer of tables with these columns. At the end the part is on disk under its name. Raises OSError."""
    with replacing(files, path) as fd:
        writer = PartWriter(files, fd, columns)
        try:
            yield writer
            writer.close()
        finally:
            writer.let_go()


def release_unused() -> None:
    """Gives the free memory of pyarrow's allocator back to the system.

    The allocator keeps freed memory for the thread that used the memory (measured: 6 MB for each thread that seals,
    40 MB for a thread that merges). A call gives back the memory of the calling thread alone. Call this function in the
    thread that wrote the tables, when the tables are gone.
    """
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


class PartWriter:
    """Writes one Parquet file.

    Vectors are stored as plain floats without statistics: random mantissas do not compress, and nobody compares whole
    vectors. All other columns are dictionary-coded, compressed by zstd and have statistics.
    """

    def __init__(self, files: Files, fd: int, columns: pa.Schema) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = columns.with_metadata({FORMAT_KEY: str(FORMAT).encode()})
        leaves = [leaf for field in columns if not is_vector(field.type) for leaf in _leaves(field.name, field.type)]
        self._row_group = row_group(columns)
        self._sink = _Sink(files, fd)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            columns,
            compression=dict.fromkeys(leaves, "zstd"),  # a column not named here stays uncompressed
            use_dictionary=leaves,
            write_statistics=leaves,
            store_schema=True,
            data_page_size=_VECTOR_PAGE if any(is_vector(field.type) for field in columns) else None,
        )

    def write(self, table: pa.Table) -> None:
        """Adds the rows of the table, in row groups of their own."""
        self._writer.write_table(table, row_group_size=max(1, min(self._row_group, table.num_rows)))

    def close(self) -> None:
        """Ends the file. Does not sync the file."""
        self._writer.close()
        self._sink.flush()

    def let_go(self) -> None:
        """Ignores all later writes. pyarrow ends a forgotten file later, when another file may have the descriptor."""
        self._sink.open = False


def write_part(files: Files, path: Path, table: pa.Table) -> None:
    """Writes one whole part. Raises OSError."""
    with writing(files, path, table.schema) as writer:
        writer.write(table)


def write_manifest_state(
    files: Files, path: Path, task: TaskName, first: int, batches: Iterable[pa.RecordBatch]
) -> None:
    """Writes a part of `current` from batches of `id`, `fingerprint`, `stamp`. The rows get a `seq` from `first` on."""
    import pyarrow as pa

    fixed = schema("current", task)
    with writing(files, path, fixed) as writer:
        for batch in batches:
            seqs = pa.array(range(first, first + batch.num_rows), pa.int64())
            table = pa.Table.from_arrays([seqs, *batch.columns], names=fixed.names).cast(fixed)
            writer.write(table)
            first += batch.num_rows


def _leaves(path: str, type_: Any) -> list[str]:
    """Returns the names that Parquet gives to the leaf columns under an Arrow field."""
    import pyarrow as pa

    if pa.types.is_list(type_):
        return _leaves(f"{path}.list.element", type_.value_type)
    if pa.types.is_struct(type_):
        return [leaf for field in type_ for leaf in _leaves(f"{path}.{field.name}", field.type)]
    return [path]


class _Sink:
    """A file object for pyarrow that writes to one descriptor. Small writes are gathered."""

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
