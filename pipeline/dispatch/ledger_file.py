"""The ledger of one machine: a record of fixed size in a file, changed under the kernel's lock of that file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.dispatch.ledger import Ask, Grant, LedgerError, Record
from pipeline.dispatch.ledger_folder import open_private

T = TypeVar("T")

_HEAD = struct.Struct("<4sI")
_BODY = struct.Struct("<8s8d")
SIZE = _HEAD.size + _BODY.size
_MAGIC = b"mbl1"

BUSY_SECONDS = 0.002
"""Pause before the next try if another run holds the lock. A run holds the lock for some microseconds."""
STUCK_SECONDS = 1.0
"""If a process holds the lock for this time, the process was stopped while it held the lock."""
TRIES = 50
LOOK_SECONDS = 1.0
"""Pause between two checks whether the path still leads to the open file."""


def boot_id() -> bytes:
    """Returns eight bytes that change with each start of the machine; zeros if the system has no boot id."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes()  # proc(5)
    except OSError:
        return bytes(8)
    return hashlib.sha256(text).digest()[:8]


class FileLedger:
    """A `Ledger` in the file `path`, which is created if it is missing.

    The record is written in one write of less than a page. So after a kill, the file holds the old record or the new
    record. A damaged record is replaced by a new record, which grants after one horizon. Times are CLOCK_MONOTONIC,
    which all processes of a machine share. That clock stops while the machine is suspended, as the timers of the runs
    do. A record from before the last boot is void. No call waits for the lock.

    Raises LedgerError if the file cannot be opened or other users may use it.
    """

    _fd = -1

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic, boot: bytes | None = None) -> None:
        self._path = path
        self._clock = clock
        self._boot = boot_id() if boot is None else boot
        self._busy_since: float | None = None
        self._looked_at = clock()
        self._fd = open_private(path)

    def lease(self, ask: Ask, done: Callable[[Grant], None]) -> None:
        """See `Ledger`. While another run holds the lock, grants nothing and says when to ask again."""
        granted = self._change(lambda record, now: record.lease(now, ask))
        done(Grant(slots=(), again=BUSY_SECONDS, terms=None) if granted is None else granted)

    def pause(self, seconds: float) -> None:
        """See `Ledger`. A pause must not be lost: while another run holds the lock, tries again at once."""
        for _ in range(TRIES):
            if self._change(lambda record, now: record.pause(now, seconds)) is not None:
                return
            os.sched_yield()
        raise LedgerError("another run holds the lock of the ledger")

    def close(self) -> None:
        """Closes the file. The file is not removed, because other runs may use it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()

    def _change(self, change: Callable[[Record, float], T]) -> T | None:
        """Reads, changes and writes the record under the lock. Returns None if another run holds the lock."""
        try:
            now = self._clock()
            if now >= self._looked_at + LOOK_SECONDS:
                self._look(now)
            if not self._locked(now):
                return None
            try:
                now = self._clock()
                record = self._read(now)
                result = change(record, now)
                os.pwrite(self._fd, pack(record, self._boot, now), 0)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        except OSError as error:
            raise LedgerError(f"{self._path}: {error.strerror}") from None
        return result

    def _locked(self, now: float) -> bool:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._busy_since = now if self._busy_since is None else self._busy_since
            if now >= self._busy_since + STUCK_SECONDS:
                raise LedgerError(f"{self._path}: another process has held its lock for a second") from None
            return False
        self._busy_since = None
        return True

    def _read(self, now: float) -> Record:
        raw = os.pread(self._fd, SIZE, 0)
        if not raw:
            return Record()
        return unpack(raw, self._boot, now) or Record.after_loss(now)

    def _look(self, now: float) -> None:
        """If the file was removed or replaced, opens the file that other runs find under the path."""
        self._looked_at = now
        try:
            there: os.stat_result | None = self._path.lstat()
        except FileNotFoundError:
            there = None
        mine = os.fstat(self._fd)
        if there is None or (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            fd = open_private(self._path)
            os.close(self._fd)
            self._fd = fd


def pack(record: Record, boot: bytes, now: float) -> bytes:
    """Returns the bytes of a record, with a checksum. now: the time of the write."""
    body = _BODY.pack(boot, now, *msgspec.structs.astuple(record))
    return _HEAD.pack(_MAGIC, zlib.crc32(body)) + body


def unpack(raw: bytes, boot: bytes, now: float) -> Record | None:
    """Returns the record in `raw`; an empty record if `raw` is from before this boot; None if `raw` is damaged."""
    if len(raw) != SIZE:
        return None
    magic, checksum = _HEAD.unpack_from(raw)
    body = raw[_HEAD.size :]
    if magic != _MAGIC or checksum != zlib.crc32(body):
        return None
    written_on, at, *values = _BODY.unpack(body)
    if written_on != boot or at > now:  # if the clock is behind the record, the clock was reset
        return Record()
    return Record(*values)
