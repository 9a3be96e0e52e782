"""Seals a closed journal segment: writes one part of each dataset, then deletes the segment.

The parts are made from the segment alone, so an interrupted seal is repeated. A dataset that has a part with the
segment's numbers is finished. The segment is deleted when all datasets are finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.disk import Files
from pipeline.store.journal import Entry, replay, segments
from pipeline.store.part_writer import release_unused, write_part
from pipeline.store.parts import all_parts, part_name
from pipeline.store.record_tables import sealed_table

if TYPE_CHECKING:
    import pyarrow as pa

SEALED = ("current", "results", "failures", "attempts", "turns")
"""`current` first: an answer with changed settings must never be visible without the question that it answers."""


def seal_segment(files: Files, known: dict[str, DatasetSchema], path: Path) -> int:
    """Writes the parts of one closed segment and removes it. Returns the highest `seq` in it, 0 if it is empty.

    Raises OSError; then the segment is still there and nothing is lost. Raises StoreError for a foreign format.
    """
    entries = list({entry.seq: entry for entry in replay(path)}.values())
    last = max((entry.seq for entry in entries), default=0)
    if entries:
        first = min(entry.seq for entry in entries)
        for dataset in SEALED:
            _seal_dataset(files, known[dataset], entries, (first, last), known["results"].typed)
        release_unused()
    files.unlink(path)
    files.sync_folder(path.parent)
    return last


def seal_journal(files: Files, known: dict[str, DatasetSchema], journal: Path) -> int:
    """Seals every segment that a run left which did not end. Returns the highest `seq` in them, 0 without records.

    Raises OSError and StoreError.
    """
    last = 0
    for path in segments(journal):
        # After a kill, only the page cache may have the last bytes: a part must not outlive the segment it is made of.
        files.datasync_path(path)
        last = max(last, seal_segment(files, known, path))
    return last


def _seal_dataset(
    files: Files, known: DatasetSchema, entries: Sequence[Entry], span: tuple[int, int], typed: frozenset[str]
) -> None:
    first, last = span
    if any(part.first <= first and last <= part.last for part in all_parts(known.folder)):
        return
    table, row = sealed_table(known.folder.name, entries, known.task, known.row, typed)
    if table.num_rows:
        known.learn(files, row, _dimension(table))
        write_part(files, known.folder / part_name(first, last), table)


def _dimension(table: pa.Table) -> int | None:
    index = table.schema.get_field_index("embedding")
    return None if index < 0 else getattr(table.schema.field(index).type, "list_size", None)
