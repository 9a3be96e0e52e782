"""Finds what a run has to send: joins the manifest's ids and fingerprints with every outcome that is kept.

A manifest row has one of these states, by the outcomes of its id and by its current fingerprint:
  done      a kept answer has the fingerprint, as its own or as the fingerprint of the manifest row that it stands for
  retry     no answer has the fingerprint; the newest failure with the fingerprint is throttled or transient
  failed    no answer has the fingerprint; the newest failure with the fingerprint has another fault: use reprocess
  dismissed no answer has the fingerprint; the failures with the fingerprint were dismissed
  changed   the id has outcomes, but no outcome has the fingerprint
  new       the id has no outcome
  unread    the id has outcomes, but the row's local files may have changed: hash the files, then call `settle`
  repeat    a derived id that another row has too: only one of these rows is sent
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pipeline.store.layout import Layout
from pipeline.store.read import attach, readable
from pipeline.store.sql import Scratch, block, literal, reader
from pipeline.types import TaskName

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY = 55
"""Bytes that DuckDB may take for each row of the manifest, and as many for each outcome that is kept. DuckDB may always
take this number of MB. If DuckDB needs more, it spills to the temporary folder. With half of this number, a million
rows that are done do not fit.

Measured with tests/bench/bench_store.py on 2 cores: a million rows, all done, are planned in 4 to 5 s (without the
first pass over the manifest) with 225 MB more than before, DuckDB itself and pyarrow included. A million new rows take
40 MB more than ten thousand new rows."""


class State(enum.IntEnum):
    """The state of a manifest row, one byte."""

    NEW = 0
    CHANGED = 1
    RETRY = 2
    FAILED = 3
    DONE = 4
    UNREAD = 5
    REPEAT = 6
    DISMISSED = 7


class Duplicate(NamedTuple):
    """A given id that the manifest has more than once, with its first two places."""

    id: str
    first: str
    second: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Manifest rows by state. `vanished`: the number of ids that have an outcome and are no longer in the manifest.

    `rebuy`: changed rows whose id has an answer. `answered`: rows whose id has an answer for any fingerprint that still
    counts (done + rebuy). The share of `rebuy` in `answered` guards against paying twice for a changed job.
    """

    rows: int = 0
    new: int = 0
    changed: int = 0
    retry: int = 0
    failed: int = 0
    done: int = 0
    unread: int = 0
    repeat: int = 0
    dismissed: int = 0
    vanished: int = 0
    rebuy: int = 0

    @property
    def answered(self) -> int:
        return self.done + self.rebuy


class ManifestState(msgspec.Struct, frozen=True):
    """Rows for `Store.record_manifest_state`: their number, and a function that returns them as batches.

    The columns of a batch are `id`, `fingerprint`, `stamp`.
    """

    count: int
    batches: Callable[[], Iterator[pa.RecordBatch]]


class ManifestDiff:
    """A plan of what to send. Uses a temporary database and reads the output's parts. Use as a context manager."""

    def __init__(self, output: Path, task: TaskName) -> None:
        self._folder = Scratch()
        self._layout = Layout(output)
        try:
            self._connection = self._opened(self._folder.path)
            with readable(self._layout):
                attach(self._connection, self._layout, task)
        except BaseException:
            self._folder.close()
            raise

    def _opened(self, folder: Path) -> duckdb.DuckDBPyConnection:
        import duckdb

        self._spool = folder / "rows.parquet"
        options: dict[str, Any] = {
            "memory_limit": f"{2 * MEMORY}MB",
            "temp_directory": str(folder),
            "threads": 2,
            "preserve_insertion_order": False,
        }
        return duckdb.connect(str(folder / "plan.duckdb"), config=options)

    def load(self, batches: Iterable[pa.RecordBatch], *, rehash: bool = False) -> None:
        """Takes the first pass over the manifest and finds every row's state. Call it once.

        Columns: `ordinal` int64 (from 0, without gaps), `id`, `given` bool, `where` text, `fingerprint` (null: the row
        has local files), `stamp` (null: no stamp), `lasting` bool (an earlier answer may be shared; only `equal` uses
        it). A stamp must stand for everything that the fingerprint covers; for a local file, it stands for path, size
        and time instead of the content. `rehash`: no fingerprint is taken from a stamp.
        """
        with ThreadPoolExecutor(1) as beside:
            outcomes = beside.submit(self._read_outcomes)
            rows = _spool(self._spool, batches)
            known = outcomes.result()
        self._limit(rows, known)
        run = self._connection.execute
        run(block("plan_load", spool=literal(str(self._spool))))
        run(block("plan_rows", by_stamp="false" if rehash else "g.fingerprint is null"))
        self._rows = rows
        self._find_states()

    def _read_outcomes(self) -> int:
        """Reads the outcomes that are kept, while another thread reads the manifest.

        Until the outcomes are read, only this thread uses the connection. Returns the number of rows of the largest of
        the datasets `results`, `failures`, `current`.
        """
        with readable(self._layout):
            self._connection.execute(block("plan_keys"))
            known = max(self._one(f"select count(*) from parts.{name}") for name in ("results", "failures", "current"))
            self._limit(known, known)
            self._connection.execute(block("plan_outcomes"))
            self._connection.execute(block("plan_dismissed"))
            self._connection.execute(block("plan_stamps"))
        return known

    def _limit(self, rows: int, known: int) -> None:
        millions = max(1, -(-rows // 1_000_000)) + -(-known // 1_000_000)
        self._connection.execute(f"set memory_limit = '{MEMORY * millions}MB'")

    def settle(self, hashed: Iterable[pa.RecordBatch]) -> None:
        """Takes the fingerprints of rows that were `unread` (`ordinal`, `fingerprint`). Finds the states again."""
        for batch in hashed:
            self._connection.register("batch", _table(batch))
            self._connection.execute("insert into hashed select ordinal, fingerprint from batch")
            self._connection.unregister("batch")
        self._find_states()

    def keep(self) -> None:
        """Counts changed rows as done if their id has an answer. Changed rows whose id only failed stay changed."""
        self._connection.execute(block("plan_keep", **_codes()))

    def states(self) -> bytearray:
        """Returns one byte per ordinal: the row's `State`."""
        import numpy as np

        found = bytearray(self._rows)
        states = np.frombuffer(found, np.uint8)
        for batch in reader(self._connection.sql("select ordinal, state from state"), 65_536):
            states[batch.column(0).to_numpy()] = batch.column(1).to_numpy()
        return found

    def counts(self) -> Counts:
        """Returns the number of rows by state, and the numbers that the guard and the summary need."""
        found = self._connection.execute(block("plan_counts")).fetchall()
        by_state = {State(state).name.lower(): rows for state, rows in found}
        vanished, rebuy = self._one(block("plan_vanished")), self._one(block("plan_rebuy", **_codes()))
        return Counts(rows=self._rows, vanished=vanished, rebuy=rebuy, **by_state)

    def equal(self) -> int:
        """Returns how many rows to send ask the question of another row, or a question that was answered before.

        Questions are compared by fingerprints and stamps. `load` must have got the column `lasting`.
        """
        return self._one(block("plan_equal", **_codes()))

    def duplicates(self, limit: int = 10) -> list[Duplicate]:
        """Returns given ids that the manifest has more than once, in manifest order, at most `limit` ids.

        A manifest with a duplicate must be refused.
        """
        if not self._one("select count(*) from repeated"):
            return []
        rows = self._connection.execute(block("plan_duplicates", limit=limit)).fetchall()
        return [Duplicate(id_, places[0], places[1]) for id_, places in rows]

    def manifest_state(self, *, kept: bool = False) -> ManifestState:
        """Returns the rows that `Store.record_manifest_state` should write.

        With these rows, views and later runs know the current fingerprints of the manifest rows, and which failed rows
        have left the manifest. `kept`: answers to other questions stay as they are.
        """
        self._connection.execute(block("plan_marks", **_codes(), kept="true" if kept else "false"))
        count = self._one("select (select count(*) from mark) + (select count(*) from gone)")

        def batches() -> Iterator[pa.RecordBatch]:
            return iter(reader(self._connection.sql(block("plan_marked")), 65_536))

        return ManifestState(count, batches)

    def close(self) -> None:
        self._connection.close()
        self._folder.close()

    def __enter__(self) -> ManifestDiff:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _one(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchall()[0][0])

    def _find_states(self) -> None:
        self._connection.execute(block("plan_states", **_codes()))


def _codes() -> dict[str, str | int]:
    return {state.name.lower(): int(state) for state in State}


def _spool(path: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Writes the batches to a temporary file. Returns the number of rows.

    The rows are read from the file more than once, and are never held in memory together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.string()
    names = ("ordinal", "id", "given", "where", "fingerprint", "stamp", "lasting")
    types = {"ordinal": pa.int64(), "given": pa.bool_(), "lasting": pa.bool_()}
    schema = pa.schema([(name, types.get(name, text)) for name in names])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="lz4", use_dictionary=False, write_statistics=False) as writer:
        for batch in batches:
            writer.write_table(_table(batch).select(schema.names).cast(schema))
            rows += batch.num_rows
    return rows


def _table(batch: Any) -> pa.Table:
    import pyarrow as pa

    return batch if isinstance(batch, pa.Table) else pa.Table.from_batches([batch])
