"""Merges parts: neighbouring parts become one part of the next generation. A reader never sees half of a merge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.store import columns
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.datasets import FORMAT
from pipeline.store.disk import Files
from pipeline.store.part_writer import release_unused, writing
from pipeline.store.parts import Part, all_parts, live_parts, part_name, read_head, read_schema, reading_part, row_group
from pipeline.tasks import facts

if TYPE_CHECKING:
    import pyarrow as pa

KEEP_SECONDS = 3600.0
"""How long replaced parts stay, for readers that listed them before. A later run deletes these parts at its start."""


def merge(files: Files, dataset_schema: DatasetSchema, parts: Sequence[Part], dropped: pa.Array | None = None) -> Part:
    """Writes the rows of neighbouring parts, in order, as one part that replaces these parts.

    Rows whose `seq` is in `dropped` are left out. Raises OSError and StoreError; then nothing has changed.
    """
    merged = _merged(files, dataset_schema, parts, dropped)
    release_unused()
    return merged


def _merged(files: Files, dataset_schema: DatasetSchema, parts: Sequence[Part], dropped: pa.Array | None) -> Part:
    first, last = min(part.first for part in parts), max(part.last for part in parts)
    generation = max(part.generation for part in parts) + 1
    path = parts[0].path.with_name(part_name(first, last, generation))
    target = _target(dataset_schema, parts)
    with writing(files, path, target) as writer:
        for table in _grouped(_tables(dataset_schema, parts, target, dropped), row_group(target)):
            writer.write(table)
    return Part(first, last, generation, path)


def mergeable(dataset_schema: DatasetSchema, parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yields groups of neighbouring parts that can be merged. Where the embeddings' dimension changes, a group ends."""
    group: list[Part] = []
    before: Any = None
    for part in parts:
        vector = _vector(part) if _holds_vectors(dataset_schema) else None
        if group and vector != before:
            yield group
            group = []
        group.append(part)
        before = vector
    if group:
        yield group


def remove_replaced(files: Files, folder: Path, now: Callable[[], float] = time.time) -> int:
    """Deletes parts that were replaced at least an hour ago. Returns their number. `now`: seconds since the epoch.

    If the clock jumped backwards, the parts stay longer. Raises OSError.
    """
    parts = all_parts(folder)
    made = [(part, part.path.stat().st_mtime) for part in parts if part.generation]
    old = [part for part in parts if any(other.covers(part) and now() - since >= KEEP_SECONDS for other, since in made)]
    for part in old:
        files.unlink(part.path)
    return len(old)


def _target(dataset_schema: DatasetSchema, parts: Sequence[Part]) -> pa.Schema:
    """Returns the schema of the merged part: all columns known so far, and the vector type of these parts."""
    target = dataset_schema.schema()
    if not _holds_vectors(dataset_schema):
        return target
    index = target.get_field_index("embedding")
    return target.set(index, target.field(index).with_type(_vector(parts[0])))


def _holds_vectors(dataset_schema: DatasetSchema) -> bool:
    """Tells whether `embedding` is the task's column. In other datasets and tasks it may be a column of the row."""
    return facts(dataset_schema.task).embeds and dataset_schema.folder.name == "results"


def _vector(part: Part) -> Any:
    return read_schema(part.path).field("embedding").type


def _tables(
    dataset_schema: DatasetSchema, parts: Sequence[Part], target: pa.Schema, dropped: pa.Array | None
) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for part in parts:
        renamed = dataset_schema.renamed if read_head(part.path)[1] < FORMAT else {}
        for batch in _batches(part.path, row_group(target)):
            table = pa.Table.from_batches([batch])
            table = table.rename_columns([renamed.get(name, name) for name in table.column_names])
            if dropped is not None:
                table = table.filter(pc.invert(pc.is_in(table.column("seq"), value_set=dropped)))
            yield _conformed(table, target)


def _batches(path: Path, size: int) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with reading_part(path):
        # With reading ahead and several threads, a merge of 180 MB of vectors holds 60 MB more and is not faster.
        source = pq.ParquetFile(path, buffer_size=2**16, pre_buffer=False)
    with source:
        batches = source.iter_batches(size, use_threads=False)
        while True:
            with reading_part(path):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def _conformed(table: pa.Table, target: pa.Schema) -> pa.Table:
    """Returns the table with the target's columns. Missing columns are null. Columns of another type are converted."""
    import pyarrow as pa

    by_name = {name.lower(): index for index, name in enumerate(table.column_names)}
    arrays = []
    for field in target:
        index = by_name.get(field.name.lower())
        column = pa.nulls(table.num_rows, field.type) if index is None else table.column(index)
        if column.type != field.type:
            if field.type == pa.string():
                column = columns.array(column.to_pylist(), "VARCHAR")
            elif pa.types.is_nested(field.type) and field.name != "embedding":
                column = pa.array(column.to_pylist(), field.type)  # blocks of an older part have no page
            else:
                column = column.cast(field.type)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, schema=target)


def _grouped(tables: Iterator[pa.Table], size: int) -> Iterator[pa.Table]:
    """Yields the same rows in tables of whole row groups. Only the last table may have an incomplete row group."""
    import pyarrow as pa

    held: list[pa.Table] = []
    rows = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        if rows >= size:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows - rows % size)
            held, rows = [whole.slice(rows - rows % size)], rows % size
    if rows:
        yield pa.concat_tables(held)


SMALL = 16 * 2**20
"""Bytes. Smaller parts are merged after a run. The parts of vectors of a bulk run are larger, so that the vectors are
never written twice."""
FAN = 8
"""How many neighbouring parts of similar size are merged. Each row is rewritten once for each eightfold growth. After n
nights there are about 7 × log₈ n parts."""


def auto_compact(files: Files, dataset_schema: DatasetSchema) -> None:
    """Merges neighbouring parts of similar size until no eight of them are in a row. Raises OSError and StoreError."""
    while True:
        groups = list(_like_sized(dataset_schema, live_parts(all_parts(dataset_schema.folder))))
        if not groups:
            return
        for group in groups:
            merge(files, dataset_schema, group)


def _like_sized(dataset_schema: DatasetSchema, parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yields the groups of neighbouring parts to merge next, of the smallest size class with eight parts in a row."""
    small = [(part, part.path.stat().st_size) for part in parts]
    for limit in (2**14, 2**17, 2**20, 2**23, SMALL):
        found = False
        run: list[Part] = []
        for part, size in [*small, (None, SMALL)]:
            if part is not None and size < limit:
                run.append(part)
                continue
            for group in mergeable(dataset_schema, run):
                if len(group) >= FAN:
                    found = True
                    yield group
            run = []
        if found:
            return
