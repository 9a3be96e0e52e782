"""Maintenance of an output: `compact`, and failures that a person closes or opens again."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.datasets import DATASETS, schema
from pipeline.store.disk import DISK, Files, machine
from pipeline.store.failed_rows import condition
from pipeline.store.layout import Layout
from pipeline.store.merge import merge, mergeable
from pipeline.store.parts import Part, all_parts, live_parts
from pipeline.store.read import connect, select_readonly
from pipeline.store.sql import block, reader
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.store.store import Store

TARGET = 128 * 2**20
"""Bytes of a well-sized part. A thousand such parts hold 20 million vectors, and one part is rewritten in a second."""


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `compact`: the number of parts that count, before and after, and the number of dropped rows.

    The numbers are sums over all datasets.
    """

    before: int
    after: int
    dropped: int


def compact(
    output: Path, task: TaskName, *, run_id: str, drop_superseded: bool = False, files: Files = DISK
) -> Compacted:
    """Merges small parts into well-sized parts. Readers see every row exactly once at all times.

    `drop_superseded`: also drops answers that `results` does not show, and failures that neither `failures` nor
    `dismissed` shows, with the turns and the rows of `current` that are no longer needed. After that, a job that goes
    back to an earlier setting no longer finds these answers. Replaced parts stay for at least an hour, until a later
    run. Raises Locked, StoreError, MachineError.
    """
    from pipeline.store.store import Store

    with Store.open(output, task, run_id=run_id, files=files) as store, machine("compact", output):
        before = _count(store.layout)
        dropped = _superseded(store.layout, task) if drop_superseded else {}
        for name in DATASETS:
            known, gone = store.schemas[name], dropped.get(name)
            for group in _well_sized(known, live_parts(all_parts(known.folder)), gone):
                merge(files, known, group, gone)
        return Compacted(before=before, after=_count(store.layout), dropped=sum(len(seqs) for seqs in dropped.values()))


def _well_sized(dataset_schema: DatasetSchema, parts: Sequence[Part], dropped: pa.Array | None) -> Iterator[list[Part]]:
    """Yields groups of neighbouring parts up to the target size. A single part is a group if it has rows to drop."""
    for neighbours in mergeable(dataset_schema, parts):
        group: list[Part] = []
        size = 0
        for part in neighbours:
            bytes_ = part.path.stat().st_size
            if group and size + bytes_ > TARGET:
                yield from _worth(group, dropped)
                group, size = [], 0
            group.append(part)
            size += bytes_
        yield from _worth(group, dropped)


def _worth(group: list[Part], dropped: pa.Array | None) -> Iterator[list[Part]]:
    import pyarrow.compute as pc

    first, last = group[0].first, max(part.last for part in group)
    holds = dropped is not None and pc.any(pc.and_(pc.greater_equal(dropped, first), pc.less_equal(dropped, last)))
    if len(group) > 1 or (holds and holds.as_py()):
        yield group


def _superseded(layout: Layout, task: TaskName) -> dict[str, pa.Array]:
    """Returns the `seq` of every row to drop, by dataset."""
    connection = connect(layout.output, task)
    return {
        name: connection.sql(block(f"superseded_{name}")).to_arrow_table().column(0).combine_chunks()
        for name in ("results", "failures", "turns", "current")
    }


def _count(layout: Layout) -> int:
    return sum(len(live_parts(all_parts(layout.dataset(name)))) for name in DATASETS)


def dismiss(store: Store, where: str, reason: str, at: int) -> int:
    """Closes the open failures that the SQL condition picks from the view `failures`. Returns their number.

    A dismissal holds for the row's question at that time. If the row asks another question later, the dismissal does
    not count. `at`: µs since the epoch, UTC. Raises QueryError and MachineError.
    """
    return _record(store, "failures", where, {"dismissed_reason": reason, "undone": False, "dismissed_at": at})


def undo(store: Store, where: str, at: int) -> int:
    """Opens the failures again that the SQL condition picks from the view `dismissed`. Returns their number.

    `at`: µs since the epoch, UTC. Raises QueryError and MachineError.
    """
    return _record(store, "dismissed", where, {"dismissed_reason": None, "undone": True, "dismissed_at": at})


def groups(output: Path, task: TaskName, where: str, *, undone: bool) -> dict[tuple[str, str], int]:
    """Returns how many failures `dismiss` would close, by fault and code, the highest number first.

    If `undone` is True, returns the same for the failures that `undo` would open again. Raises QueryError.
    """
    sql = block("dismissal_groups", view=_view(undone), where=condition(where))
    return {(fault, code): rows for fault, code, rows in select_readonly(output, task, sql).fetchall()}


def _view(undone: bool) -> str:
    return "dismissed" if undone else "failures"


def _record(store: Store, view: str, where: str, fields: dict[str, Any]) -> int:
    store.seal()
    relation = select_readonly(store.layout.output, store.task, block("to_dismiss", view=view, where=condition(where)))
    noted = 0
    for batch in reader(relation, 65_536):
        noted += batch.num_rows
        store.note("dismissed", batch.num_rows, functools.partial(_table, store.task, batch, fields))
    return noted


def _table(task: TaskName, batch: pa.RecordBatch, fields: dict[str, Any], first: int) -> pa.Table:
    import pyarrow as pa

    fixed = schema("dismissed", task)
    rows = batch.num_rows
    values = {"seq": range(first, first + rows), **{name: [value] * rows for name, value in fields.items()}}
    arrays = [
        batch.column(name) if name in ("id", "fingerprint") else pa.array(values[name], fixed.field(name).type)
        for name in fixed.names
    ]
    return pa.Table.from_arrays(arrays, schema=fixed)
