"""Selects the rows to send. Surveys the manifest in one pass, and reads an image only if it must."""

from __future__ import annotations

import os
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import ManifestError
from pipeline.job.load import LoadedJob
from pipeline.manifest import Manifest, open_manifest
from pipeline.manifest.from_python import from_table
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.run.sharing import lasting
from pipeline.run.thread_batcher import THREADS
from pipeline.run.work_item import WorkItem
from pipeline.store.diff import Counts, ManifestDiff, ManifestState, State
from pipeline.store.layout import Layout
from pipeline.store.parts import all_parts
from pipeline.store.upgrade import input_rules
from pipeline.types import Row, TaskName

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 4_096
"""Rows that go to DuckDB in one batch. In a larger batch, the garbage collector costs more time than the batch saves,
because more objects are alive."""

SENT: frozenset[int] = frozenset({State.NEW, State.CHANGED, State.RETRY})
"""The states whose rows a run sends. Other failures are for reprocess."""


def manifest_of(spec: LoadedJob, rows: Any = None) -> Manifest:
    """The job's manifest, or the rows that a program hands over instead of it. Blocking. Raises ManifestError."""
    rules = input_rules(spec.output, spec.job.task)
    if rows is not None:
        return from_table(rows, spec.job, os.getcwd(), rules)  # noqa: PTH109 - a text, as manifests take it
    return open_manifest(spec.manifest, spec.job, rules, spec.folder)


class ManifestScan(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a survey. `states`: a State per ordinal. `checks`: a checksum of each row's id, to detect a
    manifest that changes during the run. `kept`: answered rows that are done only because their answers are kept.
    `equal`: rows to send that would share an answer, counted for a plan, without reading a file."""

    counts: Counts
    states: bytearray
    checks: array[int]
    kept: int = 0
    equal: int = 0

    def ordinals(self, states: frozenset[int] = SENT) -> int:
        """Returns how many rows are in one of `states`."""
        return sum(self.states.count(state) for state in states)


class ManifestScanner:
    """Surveys one manifest against one output. Blocking: for a thread."""

    def __init__(self, manifest: Manifest, fingerprinter: Fingerprinter, output: Path, task: TaskName) -> None:
        self._manifest = manifest
        self._fingerprinter = fingerprinter
        self._output = output
        self._task = task
        self._checks: array[int] = array("I")

    def scan(
        self,
        mark: Callable[[ManifestState], None],
        redo: Callable[[Counts], bool],
        *,
        rehash: bool = False,
        count_equal: bool = False,
    ) -> ManifestScan:
        """Finds the state of every row.

        redo: takes the counts and tells whether changed rows are sent, or raises. `scan` calls it before `mark`. mark:
        receives the facts about the rows' fingerprints that views and later runs need. rehash: stat keys are not
        trusted. count_equal: counts `equal`, for a plan. Raises ManifestError for an id that is given twice.
        """
        layout = Layout(self._output)
        known = any(all_parts(layout.dataset(name)) for name in ("results", "failures"))
        with ManifestDiff(self._output, self._task) as diff:
            diff.load(self._batches(stamped=known or count_equal, lasting_known=count_equal), rehash=rehash)
            self._refuse_duplicates(diff)
            counts = diff.counts()
            if counts.unread:
                diff.settle(self._hashed(diff.states()))
                counts = diff.counts()
            keeping, kept = not redo(counts), 0
            if keeping:
                diff.keep()
                kept, counts = counts.rebuy, diff.counts()
            # Kept answers stay current. Their rows are not marked, so that no view calls the answers stale.
            marks = diff.manifest_state(kept=keeping)
            if marks.count:
                mark(marks)
            equal = diff.equal() if count_equal else 0
            return ManifestScan(counts=counts, states=diff.states(), checks=self._checks, kept=kept, equal=equal)

    def _batches(self, *, stamped: bool, lasting_known: bool) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        rows = self._manifest.rows()
        while batch := list(islice(rows, BATCH)):
            self._checks.extend(zlib.crc32(row.id.encode()) for row in batch)
            fingerprints = [self._fingerprinter.early(row) for row in batch]
            stamps = [
                self._fingerprinter.stat_key(row) if stamped and fingerprint is None else None
                for row, fingerprint in zip(batch, fingerprints, strict=True)
            ]
            yield pa.record_batch(
                {
                    "ordinal": pa.array([row.ordinal for row in batch], pa.int64()),
                    "id": pa.array([row.id for row in batch], pa.string()),
                    "given": pa.array([row.given for row in batch], pa.bool_()),
                    "where": pa.array([row.where for row in batch], pa.string()),
                    "fingerprint": pa.array(fingerprints, pa.string()),
                    "stamp": pa.array(stamps, pa.string()),
                    "lasting": pa.array([lasting(row) if lasting_known else None for row in batch], pa.bool_()),
                }
            )

    def _hashed(self, states: bytearray) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        def fingerprint(row: Row) -> str:
            return self._fingerprinter.unsent(row, self._manifest.root)

        rows = (row for row in self._manifest.rows() if states[row.ordinal] == State.UNREAD)
        with ThreadPoolExecutor(THREADS) as threads:
            while batch := list(islice(rows, 256)):
                yield pa.record_batch(
                    {
                        "ordinal": pa.array([row.ordinal for row in batch], pa.int64()),
                        "fingerprint": pa.array(list(threads.map(fingerprint, batch)), pa.string()),
                    }
                )

    def _refuse_duplicates(self, diff: ManifestDiff) -> None:
        found = diff.duplicates(limit=5)
        if found:
            listing = "; ".join(f"{twin.id!r} at {twin.first} and {twin.second}" for twin in found)
            raise ManifestError(f"the manifest gives the same id twice: {listing}")


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which of the rows that need sending are sent. `limit`: the first so many. `sample`: so many of these, spread
    evenly. `ids`: only rows with these ids."""

    limit: int | None = None
    sample: int | None = None
    ids: frozenset[str] | None = None


def count_selected(manifest: Manifest, scan: ManifestScan, chosen: Chosen) -> int:
    """Returns how many rows `selected` yields."""
    total = scan.ordinals()
    if chosen.ids is not None and total:
        states = scan.states
        total = sum(row.id in chosen.ids and states[row.ordinal] in SENT for row in manifest.rows())
    return min(cap for cap in (total, chosen.limit, chosen.sample) if cap is not None)


def selected(
    manifest: Manifest,
    scan: ManifestScan,
    fingerprinter: Fingerprinter,
    chosen: Chosen,
    should_continue: Callable[[], bool] = lambda: True,
) -> Iterator[WorkItem]:
    """Yields the rows to send, in manifest order, while `should_continue` returns True.

    Raises ManifestError if a row has another id than in the survey.
    """
    states = scan.states
    total = scan.ordinals()
    wanted = total if chosen.limit is None else min(chosen.limit, total)
    step = max(1.0, wanted / chosen.sample) if chosen.sample else 1.0
    due, index = 0.0, -1
    if wanted == 0 or chosen.sample == 0:
        return
    # New rows mostly stand at the end of the manifest. The lines before them are skipped without making rows of them.
    first = min(place for state in SENT if (place := states.find(state)) >= 0)
    for row in manifest.rows(first):
        if row.ordinal >= len(states) or not should_continue():
            return
        if states[row.ordinal] not in SENT or (chosen.ids is not None and row.id not in chosen.ids):
            continue
        index += 1
        if index >= wanted:
            return
        if index < due:
            continue
        due += step
        if scan.checks[row.ordinal] != zlib.crc32(row.id.encode()):
            raise ManifestError(f"{row.where}: the manifest was rewritten while it was read; run again")
        yield WorkItem(row=row, fingerprint=fingerprinter.early(row))


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that a run or a reprocess sends, with counts of rows.

    rows: the rows of the manifest (of a reprocess: of the last run's manifest). total: the rows to send now. done: the
    rows answered before, or `dismissed`. failed: the open failures that are not sent now. new, changed, vanished,
    repeated: the same as in the summary. passed_over: other files in the manifest's folder or glob, by kind. kept: the
    answered rows that the job would ask again now, and whose answers are kept. notes: about the manifest. source: takes
    a function that tells whether to go on, and returns the rows to send. `source` is called once.
    """

    command: str
    rows: int
    total: int
    done: int
    failed: int
    dismissed: int = 0
    new: int = 0
    changed: int = 0
    vanished: int = 0
    repeated: int = 0
    kept: int = 0
    notes: tuple[str, ...] = ()
    passed_over: Mapping[str, int] = {}
    source: Callable[[Callable[[], bool]], Iterator[WorkItem]]

    @property
    def lines(self) -> int:
        """Returns the number of rows that the run's record counts."""
        return self.rows if self.command == "run" else self.total
