"""Finds outcomes by `seq`, and the answers of conversations that are not finished."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.datasets import FAILURE_COLUMNS, column_names, declared, task_columns
from pipeline.store.journal import replay, segments
from pipeline.store.layout import Layout
from pipeline.store.parts import Part, all_parts, live_parts, read_head, reading_part
from pipeline.store.read import connect, query
from pipeline.store.record_tables import decode_answer, micros, outcome_fields
from pipeline.store.records import AnswerRecord, FailureRecord, TurnRecord
from pipeline.store.sql import block
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

TRIES = 3
"""How often outcomes are looked for: between the listing and the reading, a segment may be sealed or a part merged."""


def outcomes(layout: Layout, task: TaskName, seqs: Collection[int]) -> dict[int, AnswerRecord | FailureRecord]:
    """Returns the outcomes with these `seq`. A `seq` whose outcome is gone is left out.

    An outcome that is read from a part has neither the row's own columns nor `source` nor `row`. Blocking: call it from
    a thread. Other threads may write and seal meanwhile. Ask for many `seq` at once: then each row group that holds
    some of them is read only once. Raises StoreError for a damaged part.
    """
    found: dict[int, AnswerRecord | FailureRecord] = {}
    for _ in range(TRIES):
        wanted = set(seqs) - found.keys()
        if not wanted:
            break
        # The journal is read first: a segment is deleted only after its parts are written.
        found.update(_journaled(layout, wanted))
        found.update(_in_parts(layout, task, wanted - found.keys()))
    return found


def _journaled(layout: Layout, wanted: set[int]) -> Iterator[tuple[int, AnswerRecord | FailureRecord]]:
    for path in segments(layout.journal):
        if max(wanted) < int(path.stem):  # A segment is named by a number no greater than its first `seq`.
            continue
        try:
            for entry in replay(path, wanted):
                if isinstance(entry.record, (AnswerRecord, FailureRecord)):
                    yield entry.seq, entry.record
        except FileNotFoundError:
            continue


def _in_parts(layout: Layout, task: TaskName, wanted: set[int]) -> Iterator[tuple[int, AnswerRecord | FailureRecord]]:
    for dataset in ("results", "failures"):
        for part in live_parts(all_parts(layout.dataset(dataset))):
            here = sorted(seq for seq in wanted if part.first <= seq <= part.last)
            if not here:
                continue
            try:
                yield from _in_part(part, dataset, task, here)
            except FileNotFoundError:
                continue


def _in_part(
    part: Part, dataset: str, task: TaskName, wanted: list[int]
) -> Iterator[tuple[int, AnswerRecord | FailureRecord]]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found, format_ = read_head(part.path)
    known = [column.name for column in declared(dataset, task, format_)]
    typed = [name for name in DatasetSchema.load(part.path.parent, task).typed if name in found.names]
    columns = [name for name in (*known, *typed) if name not in ("row", "source")]
    values = pa.array(wanted, pa.int64())
    with reading_part(part.path), pq.ParquetFile(part.path, pre_buffer=False) as file:
        for number in range(file.num_row_groups):
            if not _may_hold(file.metadata.row_group(number), known.index("seq"), wanted):
                continue
            seqs = file.read_row_group(number, ["seq"], use_threads=False).column(0)
            places = pc.indices_nonzero(pc.is_in(seqs, value_set=values))
            if len(places):
                yield from _records(file.read_row_group(number, columns, use_threads=False).take(places), task, typed)


def _may_hold(group: Any, column: int, wanted: list[int]) -> bool:
    """Tells by the statistics whether a row group may hold a wanted `seq`.

    `column`: the place of the column `seq`, which stands before any nested column.
    """
    known = group.column(column).statistics
    return known is None or not known.has_min_max or any(known.min <= seq <= known.max for seq in wanted)


def _records(
    table: pa.Table, task: TaskName, typed: Sequence[str]
) -> Iterator[tuple[int, AnswerRecord | FailureRecord]]:
    vectors: list[bytes | None] | None = None
    if "embedding" in table.column_names:
        vectors = _vectors(table.column("embedding"))
        table = table.drop_columns(["embedding"])
    for place, row in enumerate(table.to_pylist()):
        if vectors is not None:
            row["embedding"] = vectors[place]
        yield row["seq"], _record(row, task, typed)


def _record(row: dict[str, Any], task: TaskName, typed: Sequence[str]) -> AnswerRecord | FailureRecord:
    ours = outcome_fields(row)
    extra = msgspec.json.decode(row["extra"]) if row["extra"] else {}
    if "fault" not in row:
        names = (*column_names(task_columns(task)), *typed)
        return AnswerRecord(**ours, extra=extra, own={name: row[name] for name in names})
    held = extra.pop("answer", None)
    dead = {name: row[name] for name in column_names(FAILURE_COLUMNS) if name != "row"}
    return FailureRecord(**ours, **dead, extra=extra, answer=None if held is None else decode_answer(held))


def _vectors(column: pa.ChunkedArray) -> list[bytes | None]:
    """Returns the little-endian float32 bytes of each vector. No float becomes a Python object."""
    import numpy as np

    array = column.combine_chunks()
    return [
        None if not scalar.is_valid else np.asarray(scalar.values.to_numpy(zero_copy_only=False), "<f4").tobytes()
        for scalar in array
    ]


Turns = Mapping[tuple[str, str], tuple[TurnRecord, ...]]
"""(id, fingerprint) of a row → its turns in order, from the first turn on, without a gap."""


def unfinished_turns(output: Path, task: TaskName) -> Turns:
    """Returns the turns of all conversations that have no answer. Blocking. Raises StoreError.

    There are few such conversations: they were in flight when a run ended, or they failed in the middle.
    """
    if not all_parts(Layout(output).dataset("turns")):
        return {}
    relation = query(connect(output, task), block("unfinished_turns"))
    found: dict[tuple[str, str], list[TurnRecord]] = {}
    for batch in relation.to_arrow_reader(1_024):
        for row in batch.to_pylist():
            turns = found.setdefault((row["id"], row["fingerprint"]), [])
            record = _turn(row)
            if record.turn <= len(turns):
                turns[record.turn - 1] = record
            elif record.turn == len(turns) + 1:
                turns.append(record)
    return {key: tuple(turns) for key, turns in found.items()}


def _turn(row: Mapping[str, Any]) -> TurnRecord:
    fields = {name: row[name] for name in TurnRecord.__struct_fields__}
    fields["finished_at"] = micros(row["finished_at"])
    fields["extra"] = msgspec.json.decode(row["extra"] or "{}")
    return TurnRecord(**fields)
