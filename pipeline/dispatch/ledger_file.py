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
"""When to try again for a lock that another run holds; it holds it for some microseconds."""
STUCK_SECONDS = 1.0
"""A lock that is held for so long is that of a process which was stopped at the wrong moment."""
TRIES = 50
LOOK_SECONDS = 1.0
"""How often a run looks whether the file still stands under its name."""


def boot_id() -> bytes:
    """Eight bytes that differ after each start of the machine; zeros where the system does not tell."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes()  # proc(5)
    except OSError:
        return bytes(8)
    return hashlib.sha256(text).digest()[:8]


class FileLedger:
    """`Ledger` over the file `path`, which is made where it is missing.

    The record is one write of less than a page, so a kill leaves the old one or the new one. A record that cannot be
    read begins anew, one horizon later. Times are CLOCK_MONOTONIC, which all processes of a machine share; it stands
    still while the machine is suspended, as the timers of the runs do. A record from before the last boot is void.
    No call waits for the lock.

    Raises LedgerError where the file cannot be opened or is not this user's alone.
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
        """See `Ledger`. A file that another run has locked just now grants nothing, and says when to ask again."""
        granted = self._change(lambda record, now: record.lease(now, ask))
        done(Grant(slots=(), again=BUSY_SECONDS, terms=None) if granted is None else granted)

    def pause(self, seconds: float) -> None:
        """See `Ledger`. A pause must not be passed over: a lock that another run holds is tried again at once."""
        for _ in range(TRIES):
            if self._change(lambda record, now: record.pause(now, seconds)) is not None:
                return
            os.sched_yield()
        raise LedgerError("another run holds the lock of the ledger")

    def close(self) -> None:
        """The file stays: other runs may use it, and it is small."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()

    def _change(self, change: Callable[[Record, float], T]) -> T | None:
        """Reads the record, changes it and writes it under the lock; None while another run has the lock."""
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
        """A file that was removed or replaced meanwhile is left for the one that the other runs find."""
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
    """The bytes of a record, with a checksum. `now`: when it is written."""
    body = _BODY.pack(boot, now, *msgspec.structs.astuple(record))
    return _HEAD.pack(_MAGIC, zlib.crc32(body)) + body


def unpack(raw: bytes, boot: bytes, now: float) -> Record | None:
    """The record in `raw`; an empty one if it was written before this boot, None if it cannot be read."""
    if len(raw) != SIZE:
        return None
    magic, checksum = _HEAD.unpack_from(raw)
    body = raw[_HEAD.size :]
    if magic != _MAGIC or checksum != zlib.crc32(body):
        return None
    written_on, at, *values = _BODY.unpack(body)
    if written_on != boot or at > now:  # a clock that runs backwards began anew
        return Record()
    return Record(*values)
