"""Merges small parts after each run, until no eight neighbours of like size are left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.disk import Files
from pipeline.store.merge import merge, mergeable
from pipeline.store.parts import Part, all_parts, live_parts

SMALL = 16 * 2**20
"""Parts below this are merged after a run; a bulk run's parts of vectors are larger, so it is never written twice."""
FAN = 8
"""Neighbours of like size that are merged: each row is rewritten once per eightfold growth, and n nights leave some
7 × log₈ n parts."""


def auto_compact(files: Files, dataset_schema: DatasetSchema) -> None:
    """Merges neighbours of like size until no eight are left. Raises OSError."""
    while True:
        groups = list(_like_sized(dataset_schema, live_parts(all_parts(dataset_schema.folder))))
        if not groups:
            return
        for group in groups:
            merge(files, dataset_schema, group)


def _like_sized(dataset_schema: DatasetSchema, parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Groups of neighbours to merge next: of the smallest size class that has eight in a row."""
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
