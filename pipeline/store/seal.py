"""Sealing: one closed journal segment becomes one part in each dataset, then the segment goes.

The parts follow from the segment alone, so a seal that was cut short is simply done again: a dataset that has a part
with the segment's numbers is finished, and the segment is removed only when all are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.store import record_tables
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.disk import Files
from pipeline.store.journal import Entry, replay
from pipeline.store.layout import Layout
from pipeline.store.parts import all_parts, part_name, release_unused, write_part
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

Build = Callable[[Sequence[Entry], TaskName, record_tables.RowTypes], tuple[Any, record_tables.RowTypes]]

# `current` first: an answer with changed settings must never be visible without what it answers.
_BUILD: dict[str, Build] = {
    "current": lambda entries, task, known: (record_tables.manifest_state_table(entries, task), known),
    "results": record_tables.results_table,
    "failures": record_tables.failures_table,
    "attempts": lambda entries, task, known: (record_tables.attempts_table(entries, task), known),
    "turns": lambda entries, task, known: (record_tables.turns_table(entries, task), known),
}


def seal_segment(files: Files, layout: Layout, task: TaskName, known: dict[str, DatasetSchema], path: Path) -> int:
    """Writes the parts of one closed segment and removes it. Returns the highest `seq` in it, 0 if it is empty.

    Raises OSError; then the segment is still there and nothing is lost. Raises StoreError for a foreign format.
    """
    entries = list({entry.seq: entry for entry in replay(path)}.values())
    last = max((entry.seq for entry in entries), default=0)
    if entries:
        first = min(entry.seq for entry in entries)
        for dataset in _BUILD:
            _seal_dataset(files, layout.dataset(dataset), dataset, task, known[dataset], entries, (first, last))
        release_unused()
    files.unlink(path)
    files.sync_folder(path.parent)
    return last


def _seal_dataset(
    files: Files,
    folder: Path,
    dataset: str,
    task: TaskName,
    dataset_schema: DatasetSchema,
    entries: Sequence[Entry],
    span: tuple[int, int],
) -> None:
    first, last = span
    if any(part.first <= first and last <= part.last for part in all_parts(folder)):
        return
    table, row = _BUILD[dataset](entries, task, dataset_schema.row)
    if table.num_rows:
        dataset_schema.learn(files, row, _dimension(table))
        write_part(files, folder / part_name(first, last), table)


def _dimension(table: pa.Table) -> int | None:
    index = table.schema.get_field_index("embedding")
    return None if index < 0 else getattr(table.schema.field(index).type, "list_size", None)
