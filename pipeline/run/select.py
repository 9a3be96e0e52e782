"""Selects the rows to send: one pass over the manifest; no image is read without need."""

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
from pipeline.run.prepare import unsent_fingerprint
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
"""Rows handed to DuckDB at once; more live objects make the garbage collector slower than the batch is faster."""

SENT: frozenset[int] = frozenset({State.NEW, State.CHANGED, State.RETRY})
"""What a run sends; other failures are for reprocess."""


def manifest_of(spec: LoadedJob, rows: Any = None) -> Manifest:
    """The job's manifest, or the rows that a program hands over instead of it. Blocking. Raises ManifestError."""
    rules = input_rules(spec.output, spec.job.task)
    if rows is not None:
        return from_table(rows, spec.job, os.getcwd(), rules)  # noqa: PTH109 - a text, as manifests take it
    return open_manifest(spec.manifest, spec.job, rules, spec.folder)


class ManifestScan(msgspec.Struct, frozen=True, kw_only=True):
    """`states`: a State per ordinal. `checks`: a checksum of each row's id, to see a manifest change under the run.
    `kept`: answered rows that are done only because their answers are kept. `equal`: rows to send that would share an
    answer, as far as that is known without reading a file; counted for a plan."""

    counts: Counts
    states: bytearray
    checks: array[int]
    kept: int = 0
    equal: int = 0

    def ordinals(self, states: frozenset[int] = SENT) -> int:
        """How many rows are in one of `states`."""
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
        """Finds every row's state.

        redo: asked before anything is decided, whether changed rows are to be sent; it may raise instead. mark:
        receives what views and later runs must know of the rows' fingerprints. count_equal: for a plan. Raises
        ManifestError for an id that is given twice.
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
            # Kept answers stay the current ones: they are not marked, so that no view calls them stale.
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
            return unsent_fingerprint(self._fingerprinter, row, self._manifest.root)

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


def selected(
    manifest: Manifest,
    scan: ManifestScan,
    fingerprinter: Fingerprinter,
    limit: int | None,
    sample: int | None,
    should_continue: Callable[[], bool] = lambda: True,
) -> Iterator[WorkItem]:
    """The rows to send, in manifest order: at most `limit`, or `sample` of them spread evenly, while `should_continue`.

    Raises ManifestError when the manifest no longer holds what was surveyed.
    """
    total = scan.ordinals()
    wanted = total if limit is None else min(limit, total)
    step = max(1.0, wanted / sample) if sample else 1.0
    due, index = 0.0, -1
    if wanted == 0 or sample == 0:
        return
    states = scan.states
    # A night's new rows mostly stand at the end: what comes before is passed over without being made into rows.
    first = min(place for state in SENT if (place := states.find(state)) >= 0)
    for row in manifest.rows(first):
        if row.ordinal >= len(states) or not should_continue():
            return
        if states[row.ordinal] not in SENT:
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
    """Counts are rows. rows: of the manifest (of a reprocess: of the last run's). total: to be sent now. done: answered
    before, or `dismissed`. failed: failures that are open and not sent now. new, changed, vanished, repeated: as in the
    summary. passed_over: what the manifest's folder or glob holds besides, by kind. kept: answered rows
    that the job as it stands would ask anew, left as they are. notes: on the manifest. source: given whether to go on,
    the rows to send, once.
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
        """The rows that the run's record accounts for."""
        return self.rows if self.command == "run" else self.total
