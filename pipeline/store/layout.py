"""The paths in an output folder, and the file that marks the folder as an output."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pipeline.errors import StoreError
from pipeline.job.load import KEPT_JOB
from pipeline.store.datasets import DERIVED_IDS, FORMAT, READABLE
from pipeline.store.disk import Files, replacing, write_all
from pipeline.types import TaskName

_FOLDERS = ("journal", "results", "failures", "attempts", "runs")
_BEGUN = ("run.lock", ".format.json.tmp")
"""Files that a run leaves if it is killed before it marks the folder as an output."""
CATALOG_BEGINS = "-- The views of one job's output"
"""How `catalog.sql` begins, in this version and in 0.1.0."""
_IGNORED = (".DS_Store", "Thumbs.db", "desktop.ini", KEPT_JOB)


class Layout:
    """The paths under one output folder (absolute)."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.journal = output / "journal"
        self.runs = output / "runs"
        self.manifest_state = self.runs / "current"
        self.format = self.runs / "format.json"
        self.summary = self.runs / "summary.json"
        self.progress = self.runs / "progress.json"
        self.job = self.runs / "job.json"
        self.catalog = output / "catalog.sql"
        self.lock = output / "run.lock"
        self.search = output / "search"

    def dataset(self, name: str) -> Path:
        """Returns the folder of a dataset's parts."""
        return self.runs / name if name in ("current", "turns", "dismissed") else self.output / name

    def read_format(self) -> Format | None:
        """Returns the folder's format, or None if nothing was written yet. Raises StoreError."""
        try:
            data = self.format.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return msgspec.json.decode(data, type=Format)
        except msgspec.DecodeError as error:
            advice = "put it back from a copy, or set another output"
            raise StoreError(f"{self.format} cannot be read ({error}); {advice}") from error

    def check(self, task: TaskName) -> Format | None:
        """Returns the folder's format. Raises StoreError for another task, and for a format that is not in READABLE."""
        found = self.read_format()
        if found is not None and found.format not in READABLE:
            raise StoreError(
                f"{self.output} is in format {found.format}; this version reads {', '.join(map(str, READABLE))}. "
                "Open it with the version that wrote it, or set another output."
            )
        if found is not None and found.task != task:
            raise StoreError(
                f"{self.output} belongs to a job with task {found.task}, not {task}: an output is one job's alone. "
                "Set another output."
            )
        return found

    def refuse_foreign(self) -> None:
        """Raises StoreError for a folder that is neither empty nor marked as an output. Changes nothing in the folder.

        The file of the views (`catalog.sql`) marks an output too: an output that has lost `runs/` is still read.
        """
        if self.format.exists() or not self.output.is_dir() or self._has_views():
            return
        for folder, _, names in os.walk(self.output):
            inside = Path(folder).relative_to(self.output)
            known = not inside.parts or inside.parts[0] in _FOLDERS
            other = [name for name in names if name not in _IGNORED and not (known and name in _BEGUN)]
            if other or not known:
                found = inside / other[0] if other else inside
                raise StoreError(
                    f"{self.output} is not an output of pipeline: it holds {found}. An output is a folder of its own: "
                    "set one that is empty or not there yet."
                )

    def _has_views(self) -> bool:
        try:
            with self.catalog.open("rb") as file:
                return file.read(len(CATALOG_BEGINS)) == CATALOG_BEGINS.encode()
        except OSError:
            return False

    def write_format(self, files: Files, task: TaskName, before: Format | None = None) -> None:
        """Marks the folder as an output. If the folder has a format (`before`), its rule of derived ids stays.

        Raises OSError.
        """
        now = Format(format=FORMAT, task=task, derived_ids=before.derived_ids if before else DERIVED_IDS)
        with replacing(files, self.format) as fd:
            write_all(files, fd, msgspec.json.encode(now))


class Format(msgspec.Struct, frozen=True):
    """The content of `runs/format.json`. `derived_ids`: the number of the rule that derives ids; 1: as in 0.1.0."""

    format: int
    task: str
    derived_ids: int = 1
