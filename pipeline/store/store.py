"""The store of one output folder while a run owns the folder. The store takes outcomes and writes parts and views."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.errors import StoreError
from pipeline.store import columns
from pipeline.store.card import write_card
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.datasets import DATASETS, FORMAT
from pipeline.store.diff import ManifestState
from pipeline.store.disk import DISK, Files, machine, remove_temporary, replacing, write_all
from pipeline.store.journal import Journal
from pipeline.store.layout import Layout
from pipeline.store.lock import Place, locked
from pipeline.store.merge import auto_compact, remove_replaced
from pipeline.store.new_output import NewOutput
from pipeline.store.part_writer import write_manifest_state, write_part
from pipeline.store.parts import all_parts, part_name
from pipeline.store.read import write_catalog
from pipeline.store.record_tables import runs_table
from pipeline.store.records import AnswerRecord, AttemptRecord, FailureRecord, Record, RunRecord, TurnRecord
from pipeline.store.seal import seal_journal, seal_segment
from pipeline.store.upgrade import load_schemas
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

SEAL_RECORDS = 8_000
"""A segment is sealed at this number of records: 4,000 answers and their attempts. A million rows make
250 parts before the parts are merged, and a view opens all of them in 0.1 s."""
SEAL_BYTES = 18 * 2**20
"""A segment is sealed at this size. A seal holds about three times this size in memory. The size is that of 2,900
vectors of 1536 floats, so that their part is too large to be merged again (`merge.SMALL`)."""
SEAL_SECONDS = 30.0
"""A segment is sealed at this age, so that views see the outcomes of a slow run."""


class Store:
    """Owns an output folder from `open` to `close`.

    Append in the loop's thread. Call `sync`, `seal` and `close` in another thread. All may be called at the same time.
    Every method that writes raises MachineError.
    """

    def __init__(
        self,
        layout: Layout,
        task: TaskName,
        run_id: str,
        files: Files,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self.layout = layout
        self.task = task
        self.run_id = run_id
        self.files = files
        self._clock = clock
        self._now = now
        self._exit = contextlib.ExitStack()
        self._seal_lock = threading.Lock()
        self._waiting: list[Path] = []
        self._run_seq = 0
        self.schemas: dict[str, DatasetSchema] = {}
        self.journal: Journal
        self.place: Place
        self._new: NewOutput | None = None

    @classmethod
    def open(
        cls,
        output: Path,
        task: TaskName,
        *,
        run_id: str,
        dimension: int | None = None,
        typed: Mapping[str, str] = {},
        files: Files = DISK,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> Store:
        """Takes the lock, creates a missing folder, seals the segments that an earlier run left, and writes the views.

        `dimension`: floats of the embeddings that this run will write. `typed`: name → SQL type of the answer's fields
        that this run will write. `clock`: returns seconds, used only for the age of a segment. `now`: returns seconds
        since the epoch, used only for the age of replaced parts. Raises Locked, StoreError (a foreign format, the
        output of another task, a damaged part) and MachineError.
        """
        store = cls(Layout(output), task, run_id, files, clock, now)
        try:
            with machine("open the output", output):
                store._prepare(dimension, typed)
        except BaseException:
            store._exit.close()
            raise
        return store

    def answer(self, record: AnswerRecord, attempt: AttemptRecord | None = None) -> int:
        """Keeps an answer. The answer is in the journal when this returns. Returns the answer's `seq`.

        `attempt`: the attempt that brought the answer. Both are kept in one write (10 µs less than two writes).
        """
        plain = _plain(record)
        return self._append(plain) if attempt is None else self._append(attempt, plain)

    def failure(self, record: FailureRecord) -> int:
        """Keeps a failure. The failure is in the journal when this returns. Returns the failure's `seq`."""
        return self._append(_plain(record))

    def attempt(self, record: AttemptRecord) -> int:
        """Keeps one attempt. Append a row's attempts before the row's outcome. Returns the attempt's `seq`."""
        return self._append(record)

    def turn(self, record: TurnRecord, attempt: AttemptRecord) -> int:
        """Keeps the answer to one question of a conversation and the attempt that brought the answer, in one write.

        Returns the `seq` of the answer.
        """
        return self._append(attempt, record)

    def _append(self, *records: Record) -> int:
        if not self.journal.records:
            self._since = self._clock()
        return self.journal.append(*records)

    def outcomes(self, records: Sequence[Record]) -> int:
        """Keeps several outcomes, with their attempts before them, in one write. Returns the last record's `seq`."""
        return self._append(*[_plain(r) if isinstance(r, (AnswerRecord, FailureRecord)) else r for r in records])

    def sync(self) -> int:
        """Syncs the journal. Then all records up to the returned `seq` outlive a power cut.

        These are all records that were appended before the call. Blocks for one fdatasync. Call it every 100 ms from a
        thread. Raises MachineError if the folder was moved: appended records are then in the moved folder.
        """
        upto = self.journal.sync()
        self.place.check()
        return upto

    def seal_due(self) -> bool:
        """Tells whether the open segment has enough records, bytes or age to become parts. Reads no file."""
        journal = self.journal
        return bool(journal.records) and (
            journal.records >= SEAL_RECORDS or journal.size >= SEAL_BYTES or self._clock() - self._since >= SEAL_SECONDS
        )

    def seal(self) -> None:
        """Makes parts of all records that were appended before the call. Blocking: call it from a thread."""
        with self._seal_lock:
            self.place.check()
            self._seal(self.journal.rotate())

    def _seal(self, paths: list[Path]) -> None:
        self._waiting += paths
        dimension = self.schemas["results"].dimension
        while self._waiting:
            with machine("seal a part", self.layout.output):
                seal_segment(self.files, self.schemas, self._waiting[0])
            self._waiting.pop(0)
        if self.schemas["results"].dimension != dimension:
            write_catalog(self.layout, self.task, self.schemas["results"].dimension, self.files)

    def record_manifest_state(self, state: ManifestState) -> None:
        """Keeps what the manifest now says of ids that have outcomes (see `ManifestDiff.manifest_state`).

        Call it before you append records. Ends the open segment first, because the `seq` of these rows must not lie
        between the `seq` of one segment.
        """
        if not state.count:
            return
        self.seal()
        first = self.journal.reserve(state.count)
        path = self.layout.manifest_state / part_name(first, first + state.count - 1)
        with machine("write the marks", path.parent):
            write_manifest_state(self.files, path, self.task, first, state.batches())

    def note(self, dataset: str, rows: int, table: Callable[[int], pa.Table]) -> None:
        """Keeps `rows` rows of a dataset that is not journaled, in one step.

        `table`: a function that returns the rows, given the `seq` of the first row.
        """
        if not rows:
            return
        self.seal()
        first = self.journal.reserve(rows)
        folder = self.layout.dataset(dataset)
        self.place.check()
        with machine("write a part", folder):
            write_part(self.files, folder / part_name(first, first + rows - 1), table(first))

    def start_run(self, record: RunRecord) -> None:
        """Writes the record of the run, and opens the journal's segment.

        The record has no end yet, so that a killed run is visible. No answer is bought before the segment is open.
        """
        self._run_seq = self.journal.reserve(1)
        self._write_run(record)
        self.journal.begin()

    def finish_run(self, record: RunRecord) -> None:
        """Replaces the record that `start_run` wrote by the record with the run's figures."""
        self._run_seq = self._run_seq or self.journal.reserve(1)
        self._write_run(record)

    def write_summary(self, data: bytes) -> None:
        """Writes the figures of the last run (JSON) for the command `status`, in one step."""
        self.place.check()
        with machine("write the summary", self.layout.runs), replacing(self.files, self.layout.summary) as fd:
            write_all(self.files, fd, data)

    def close(self) -> None:
        """Seals the remaining segments and merges small parts. Releases the lock in any case.

        If a write fails, the segments stay in the journal.
        """
        try:
            with self._seal_lock:
                paths = self.journal.close()
                self.place.check()
                self._seal(paths)
            # If a full disk or a damaged part stops the merge, the next run merges. Nothing is lost.
            with contextlib.suppress(OSError, StoreError):
                for known in self.schemas.values():
                    auto_compact(self.files, known)
                write_card(self.files, self.layout, self.task)
        finally:
            self._exit.close()

    def discard(self) -> None:
        """Closes a store to which nothing was written. Removes an output that `open` has made new.

        An output that was there before is closed as `close` does.
        """
        if self._new is None or self.journal.next_seq > 1:
            self.close()
            return
        try:
            self.journal.close()
            self._new.remove(self.files)
        finally:
            self._exit.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_run(self, record: RunRecord) -> None:
        self.place.check()
        path = self.layout.runs / part_name(self._run_seq, self._run_seq)
        with machine("write the run", self.layout.runs):
            write_part(self.files, path, runs_table(record, self.task))

    def _prepare(self, dimension: int | None, typed: Mapping[str, str]) -> None:
        layout, files = self.layout, self.files
        layout.refuse_foreign()
        new = NewOutput(layout)
        files.mkdir(layout.output)
        self._exit.enter_context(locked(layout.lock, self.run_id))
        found = layout.check(self.task)
        self._new = new if new.is_empty() else None
        for folder in (layout.journal, *(layout.dataset(name) for name in DATASETS)):
            files.mkdir(folder)
            remove_temporary(files, folder)
            remove_replaced(files, folder, self._now)
        if found is None:
            for folder in (layout.runs, layout.output):
                files.sync_folder(folder)
            with contextlib.suppress(PermissionError):  # we may have no access to the parent of the output
                files.sync_folder(layout.output.parent)
        if found is None or found.format < FORMAT:
            # The format is written before the parts: from now on, no older version changes the folder.
            layout.write_format(files, self.task, found)
        self.schemas = load_schemas(files, layout, self.task, dimension, typed)
        last = max((part.last for name in DATASETS for part in all_parts(layout.dataset(name))), default=0)
        last = max(last, seal_journal(files, self.schemas, layout.journal))
        self.journal = Journal(layout.journal, files, last + 1)
        self.place = Place(layout.output, layout.journal)
        self._exit.callback(self.place.close)
        self._since = self._clock()
        write_catalog(layout, self.task, self.schemas["results"].dimension, files)


def _plain(record: AnswerRecord | FailureRecord) -> AnswerRecord | FailureRecord:
    """Returns the record with the row's columns in a form that the journal can hold."""
    plain = columns.plain(record.columns)
    return record if plain is record.columns else msgspec.structs.replace(record, columns=plain)
