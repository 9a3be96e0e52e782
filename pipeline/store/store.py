"""The store of one output folder while a run owns it: outcomes go in, parts and views come out."""

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
"""4,000 answers and their trips, two row groups; at 250 parts a million rows, before they are merged, a view still
opens them all in 0.1 s."""
SEAL_BYTES = 18 * 2**20
"""What a seal holds in memory about four times over: 2,900 vectors of 1536 floats, enough that their part is not merged
again (`auto_compact.SMALL`)."""
SEAL_SECONDS = 30.0
"""How long an outcome waits to be seen by a view during a slow run."""


class Store:
    """Owns an output folder from `open` to `close`. Appending is for the loop's thread, `sync`, `seal` and `close` for
    another one; all may be called at the same time. Every method that writes raises MachineError."""

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
        """Takes the lock, makes the folder if need be, seals what an earlier run left in the journal, writes the views.

        `dimension`: floats of the embeddings that this run will write. `typed`: name → SQL type of the answer's fields
        that it will write. `clock`: seconds, only for the age of a segment; `now`: seconds since the epoch, only for
        the age of replaced parts. Raises Locked, StoreError (a foreign format, or another task's output) and
        MachineError.
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
        """Keeps an answer: written to the journal when this returns. Returns its `seq`.

        attempt: the trip that brought it, kept with it in one write (10 µs less than two).
        """
        plain = _plain(record)
        return self._append(plain) if attempt is None else self._append(attempt, plain)

    def failure(self, record: FailureRecord) -> int:
        """Keeps a failure: written to the journal when this returns. Returns its `seq`."""
        return self._append(_plain(record))

    def attempt(self, record: AttemptRecord) -> int:
        """Keeps one trip on the wire. Append a row's attempts before its outcome."""
        return self._append(record)

    def turn(self, record: TurnRecord, attempt: AttemptRecord) -> int:
        """Keeps the answer to one question of a conversation, with the attempt that brought it, in one write."""
        return self._append(attempt, record)

    def _append(self, *records: Record) -> int:
        if not self.journal.records:
            self._since = self._clock()
        return self.journal.append(*records)

    def outcomes(self, records: Sequence[Record]) -> int:
        """Keeps several outcomes, and attempts before them, in one write. Returns the `seq` of the last."""
        return self._append(*[_plain(r) if isinstance(r, (AnswerRecord, FailureRecord)) else r for r in records])

    def sync(self) -> int:
        """Everything appended before the call outlives a power cut when it returns: all `seq` up to the returned one.

        Blocks for one fdatasync; call it every 100 ms from a thread. Raises MachineError for a folder that was moved:
        what is appended goes with it.
        """
        upto = self.journal.sync()
        self.place.check()
        return upto

    def seal_due(self) -> bool:
        """The open segment has enough records, bytes or age to become parts. Cheap."""
        journal = self.journal
        return bool(journal.records) and (
            journal.records >= SEAL_RECORDS or journal.size >= SEAL_BYTES or self._clock() - self._since >= SEAL_SECONDS
        )

    def seal(self) -> None:
        """Makes parts of everything appended before the call; blocks for the writing, so call it from a thread."""
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
        """Keeps what the manifest says now of ids that have outcomes (see `ManifestDiff.manifest_state`); call it
        before appending.

        Ends the open segment first: the numbers of the marks must not lie within those of a segment.
        """
        if not state.count:
            return
        self.seal()
        first = self.journal.reserve(state.count)
        path = self.layout.manifest_state / part_name(first, first + state.count - 1)
        with machine("write the marks", path.parent):
            write_manifest_state(self.files, path, self.task, first, state.batches())

    def note(self, dataset: str, rows: int, table: Callable[[int], pa.Table]) -> None:
        """Keeps `rows` rows of a dataset that is not journaled, in one step. `table`: given the `seq` of the first."""
        if not rows:
            return
        self.seal()
        first = self.journal.reserve(rows)
        folder = self.layout.dataset(dataset)
        self.place.check()
        with machine("write a part", folder):
            write_part(self.files, folder / part_name(first, first + rows - 1), table(first))

    def start_run(self, record: RunRecord) -> None:
        """Writes the run with no end, so that a kill leaves its trace, and opens the journal's segment: no answer is
        bought before there is a place to keep it."""
        self._run_seq = self.journal.reserve(1)
        self._write_run(record)
        self.journal.begin()

    def finish_run(self, record: RunRecord) -> None:
        """Puts the run's figures in the place of its start."""
        self._run_seq = self._run_seq or self.journal.reserve(1)
        self._write_run(record)

    def write_summary(self, data: bytes) -> None:
        """Keeps the figures of the last run (JSON) for `status`, in one step."""
        self.place.check()
        with machine("write the summary", self.layout.runs), replacing(self.files, self.layout.summary) as fd:
            write_all(self.files, fd, data)

    def close(self) -> None:
        """Seals what is left and gives the lock back, whatever happens; a refused write leaves the journal as it is."""
        try:
            with self._seal_lock:
                paths = self.journal.close()
                self.place.check()
                self._seal(paths)
            # Upkeep that a full disk or a damaged part refuses waits for the next run: nothing is lost by it.
            with contextlib.suppress(OSError, StoreError):
                for known in self.schemas.values():
                    auto_compact(self.files, known)
                write_card(self.files, self.layout, self.task)
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
        files.mkdir(layout.output)
        self._exit.enter_context(locked(layout.lock, self.run_id))
        found = layout.check(self.task)
        for folder in (layout.journal, *(layout.dataset(name) for name in DATASETS)):
            files.mkdir(folder)
            remove_temporary(files, folder)
            remove_replaced(files, folder, self._now)
        if found is None:
            for folder in (layout.runs, layout.output):
                files.sync_folder(folder)
            with contextlib.suppress(PermissionError):  # a parent may be closed to us although the output is not
                files.sync_folder(layout.output.parent)
        if found is None or found.format < FORMAT:
            # First of all: from here on no older version touches the folder.
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
    """The record with the row's columns as a part can hold them."""
    plain = columns.plain(record.columns)
    return record if plain is record.columns else msgspec.structs.replace(record, columns=plain)
