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
from pipeline.store.part_writer import release_unused, writing
from pipeline.store.parts import all_parts, part_name
from pipeline.store.record_tables import sealed_rows

if TYPE_CHECKING:
    import pyarrow as pa

SEALED = ("current", "results", "failures", "attempts", "turns")
"""The datasets in the order in which their parts are written. `current` comes first: an answer with changed settings
must never be visible without the manifest fingerprint for which it counts."""


def seal_segment(files: Files, known: dict[str, DatasetSchema], path: Path) -> int:
    """Writes the parts of one closed segment and deletes the segment. Returns its highest `seq`, 0 if it is empty.

    Raises OSError, and StoreError for a journal of a foreign format or a damaged part. Then the segment is still there
    and nothing is lost.
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
    """Seals every segment that an interrupted run left. Returns the highest `seq`, 0 if there are no records.

    Raises the same errors as `seal_segment`.
    """
    last = 0
    for path in segments(journal):
        # After a kill, the last bytes may be only in the page cache. They must be on disk before a part is made.
        files.datasync_path(path)
        last = max(last, seal_segment(files, known, path))
    return last


def _seal_dataset(
    files: Files, known: DatasetSchema, entries: Sequence[Entry], span: tuple[int, int], typed: frozenset[str]
) -> None:
    first, last = span
    if any(part.first <= first and last <= part.last for part in all_parts(known.folder)):
        return
    sealed = sealed_rows(known.folder.name, entries, known.task, known.row, typed)
    if sealed.rows:
        known.learn(files, sealed.row, _dimension(sealed.schema))
        with writing(files, known.folder / part_name(first, last), sealed.schema) as writer:
            for table in sealed.tables:
                writer.write(table)
                del table  # before the next one is made


def _dimension(columns: pa.Schema) -> int | None:
    index = columns.get_field_index("embedding")
    return None if index < 0 else getattr(columns.field(index).type, "list_size", None)
