"""Failures that a person closes for good, with a reason; kept, and open again on request."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.store.arrow_schemas import schema
from pipeline.store.failed_rows import condition
from pipeline.store.guarded import picked
from pipeline.store.relations import reader
from pipeline.store.statements import block
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.store.store import Store


def dismiss(store: Store, where: str, reason: str, at: int) -> int:
    """Closes the open failures that the SQL condition picks over the view `failures`; returns how many.

    A dismissal holds for the row as it was: one that asks something else is new. at: µs since the epoch, UTC. Raises
    QueryError and MachineError.
    """
    return _note(store, "failures", where, {"dismissed_reason": reason, "undone": False, "dismissed_at": at})


def undo(store: Store, where: str, at: int) -> int:
    """Opens the failures again that the SQL condition picks over the view `dismissed`; returns how many. Raises
    QueryError and MachineError."""
    return _note(store, "dismissed", where, {"dismissed_reason": None, "undone": True, "dismissed_at": at})


def groups(output: Path, task: TaskName, where: str, *, undone: bool) -> dict[tuple[str, str], int]:
    """How many failures would be dismissed, or `undone`, by fault and code, the most first. Raises QueryError."""
    sql = block("dismissal_groups", view=_view(undone), where=condition(where))
    return {(fault, code): rows for fault, code, rows in picked(output, task, sql).fetchall()}


def _view(undone: bool) -> str:
    return "dismissed" if undone else "failures"


def _note(store: Store, view: str, where: str, fields: dict[str, Any]) -> int:
    store.seal()
    relation = picked(store.layout.output, store.task, block("to_dismiss", view=view, where=condition(where)))
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
