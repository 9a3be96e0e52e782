"""Removes an output that a run has just made, if the run is refused before anything is kept there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from pipeline.store.disk import Files
from pipeline.store.layout import Layout


class NewOutput:
    """The folders of an output that were missing before a run made them. Make one before the output is opened."""

    def __init__(self, layout: Layout) -> None:
        output = layout.output
        self._missing = [folder for folder in (output, *output.parents) if not folder.exists()]
        # The format and the views go behind the records: if a removal is cut short, the rest is still an output, or a
        # folder that a run may use. The lock goes last.
        folders = ("results", "failures", "attempts", "journal", "runs")
        self._parts = [*(output / name for name in folders), layout.catalog]
        self._lock = layout.lock

    def is_empty(self) -> bool:
        """Tells whether the output holds nothing of a run but the lock. Call this under the lock."""
        return not any(path.exists() for path in self._parts)

    def remove(self, files: Files) -> None:
        """Removes what `Store.open` has made: its files, then its folders and missing parents if they are empty.

        Call this under the lock. What cannot be removed stays.
        """
        with contextlib.suppress(OSError):
            for path in self._parts:
                _remove(files, path)
            files.unlink(self._lock)
            for folder in self._missing:
                files.rmdir(folder)


def _remove(files: Files, path: Path) -> None:
    if not path.is_dir():
        files.unlink(path)
        return
    for inside in sorted(path.rglob("*"), reverse=True):
        (files.rmdir if inside.is_dir() else files.unlink)(inside)
    files.rmdir(path)
