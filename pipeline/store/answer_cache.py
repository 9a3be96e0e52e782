"""Answers that several jobs share, by fingerprint, in one SQLite file.

Many runs may write the file at the same time. Each run checks every entry that it reads.

An entry counts only if its checksum, its fingerprint and its form are right. Any other entry is a miss. After an error
of the file, the run goes on without the cache and says so. If a run is killed before an answer reaches the cache, the
answer is in the journal of the output.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipeline.store.records import CACHED, AnswerRecord

APPLICATION = 0x6D6D6263
"""`application_id` of the file. A file with another id is another program's database, and is not changed."""
VERSION = 1
BUSY_SECONDS = 5.0
"""How long a run waits for another run's write. A write takes some milliseconds."""
FLUSH_SECONDS = 2.0
MOST_WAITING = 256
"""Waiting answers are written together after FLUSH_SECONDS, or when this number of answers waits."""


class Cached(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer as the cache keeps it. `id`, `output`: the row that bought the answer, and the output of that row."""

    fingerprint: str
    id: str
    output: str
    provider: str
    model: str
    own: Mapping[str, Any]
    extra: Mapping[str, Any] = {}
    tier: str | None = None
    request_id: str | None = None
    finish_reason: str | None = None

    def record(self) -> AnswerRecord:
        """Returns the answer in the form in which rows share it. `extra` names the output in which it was bought."""
        return AnswerRecord(
            id=self.id,
            provider=self.provider,
            model=self.model,
            fingerprint=self.fingerprint,
            run_id="",
            attempt_count=0,
            finished_at=0,
            tier=self.tier,
            shared_with=CACHED + self.id,
            request_id=self.request_id,
            finish_reason=self.finish_reason,
            extra={**self.extra, "bought_in": self.output},
            own=self.own,
        )


class AnswerCache:
    """The cache of one run. Call `add` in the loop's thread. `get`, `flush` and `close` block: use other threads.

    `output`: the output of this run. `problem`: the reason why the cache is not used or no longer used, None if it is
    used.
    """

    def __init__(self, path: Path, output: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self._output = str(output)
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._waiting: list[AnswerRecord] = []
        self._flushed = time.monotonic()

    @property
    def is_open(self) -> bool:
        """Tells whether the file is open and no error has ended the use of the cache."""
        return self._connection is not None

    def open(self, *, create: bool = True) -> None:
        """Opens the file. Creates a missing file, unless `create` is False: then the cache stays empty. Blocking."""
        if not create and not self.path.exists():
            return
        with self._guarded(busy_is_miss=False):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._check()

    def get(self, fingerprint: str) -> AnswerRecord | None:
        """Returns the answer to this question. Returns None if there is no valid entry. Blocking."""
        with self._lock, self._guarded():
            if self._connection is not None:
                found = self._connection.execute("select body from answers where fingerprint = ?", (fingerprint,))
                return _valid_entry(fingerprint, found.fetchone())
        return None

    def add(self, record: AnswerRecord) -> None:
        """Takes an answer that was bought. One of the next flushes writes the answer."""
        if self.problem is None:
            self._waiting.append(record)

    def flush(self, *, now: bool = False) -> None:
        """Writes the waiting answers if they are due, or at once with `now`. Blocking."""
        waiting = self._waiting
        late = time.monotonic() - self._flushed >= FLUSH_SECONDS
        if not waiting or not (now or late or len(waiting) >= MOST_WAITING):
            return
        self._waiting, self._flushed = [], time.monotonic()
        rows = [(record.fingerprint, self._body(record)) for record in waiting]
        with self._lock, self._guarded():
            if self._connection is not None:
                self._connection.execute("begin immediate")
                self._connection.executemany("insert or ignore into answers values (?, ?)", rows)
                self._connection.execute("commit")

    def close(self) -> None:
        """Writes the waiting answers and closes the file. Blocking."""
        self.flush(now=True)
        with self._lock:
            self._close()

    def _check(self) -> None:
        """Sets up an empty file. Raises sqlite3.DatabaseError for a database that is not a cache of this version."""
        run = self._connection.execute  # type: ignore[union-attr]  # it is open
        run("begin immediate")
        tables = run("select count(*) from sqlite_master").fetchone()[0]
        marks = run("pragma application_id").fetchone()[0], run("pragma user_version").fetchone()[0]
        if not tables and marks == (0, 0):
            run("create table answers (fingerprint text primary key, body blob not null) without rowid")
            run(f"pragma application_id = {APPLICATION}")
            run(f"pragma user_version = {VERSION}")
        elif marks != (APPLICATION, VERSION):
            run("rollback")
            raise sqlite3.DatabaseError("it is not a cache of answers of this version")
        run("commit")

    def _body(self, record: AnswerRecord) -> bytes:
        fields = {name: getattr(record, name) for name in Cached.__struct_fields__ if name != "output"}
        body = msgspec.msgpack.encode(Cached(**fields, output=self._output), enc_hook=str)
        return zlib.crc32(body).to_bytes(4, "little") + body

    @contextlib.contextmanager
    def _guarded(self, *, busy_is_miss: bool = True) -> Iterator[None]:
        """Wraps the use of the file. If another run has locked the file, does nothing: the result is a miss.

        Any other error of the file ends the use of the cache. `busy_is_miss` False: a locked file is such an error.
        """
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            code = getattr(error, "sqlite_errorcode", None)
            if busy_is_miss and code is not None and code & 0xFF == sqlite3.SQLITE_BUSY:
                return
            reason = getattr(error, "strerror", None) or error
            self.problem = (
                f"the cache cannot be used: {self.path}: {reason}. Rows are asked instead; "
                "if the file is damaged, delete it, and the next run begins a new one"
            )
            self._waiting = []
            self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _valid_entry(fingerprint: str, row: tuple[Any, ...] | None) -> AnswerRecord | None:
    body = row[0] if row else None
    if not isinstance(body, bytes) or zlib.crc32(body[4:]).to_bytes(4, "little") != body[:4]:
        return None
    try:
        found = msgspec.msgpack.decode(body[4:], type=Cached)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found.record() if found.fingerprint == fingerprint else None
