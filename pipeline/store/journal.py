"""The journal: an append-only file of framed, checksummed records, where every outcome is before it is counted."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from pipeline.errors import StoreError
from pipeline.store.files import Files, machine, machine_error, write_all
from pipeline.store.records import KINDS, TYPES, Record

FORMAT = 1
READABLE = (1,)
"""Journal formats this version reads: its own and, once there is one, the one before."""

_MAGIC = b"pipeline journal %d\n"
_HEAD = struct.Struct("<IIQB")  # length of the body, checksum of the rest of the frame, seq, kind
_TAIL = struct.Struct("<QB")
_encode = msgspec.msgpack.Encoder().encode
_decoders = {kind: msgspec.msgpack.Decoder(type_) for kind, type_ in TYPES.items()}


class Entry(NamedTuple):
    """One record as replayed."""

    seq: int
    record: Record


class Segment:
    """One journal file being written. `size` is the length of what is whole; `rows` counts outcomes and attempts."""

    __slots__ = ("dirty", "fd", "path", "rows", "size")

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        self.rows = 0
        self.dirty = True


class Journal:
    """Appends records with rising `seq`, from one thread or several; a kill of the process loses nothing appended.

    A power cut may lose what `sync` has not confirmed yet.
    """

    def __init__(self, folder: Path, files: Files, next_seq: int) -> None:
        self.folder = folder
        self.files = files
        self.next_seq = next_seq
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._current: Segment | None = None
        self._unsynced: list[Segment] = []

    @property
    def rows(self) -> int:
        """Records in the open segment."""
        return self._current.rows if self._current else 0

    @property
    def size(self) -> int:
        """Bytes in the open segment."""
        return self._current.size if self._current else 0

    def append(self, record: Record) -> int:
        """Writes one record to the file and returns its `seq`. Raises MachineError; then the record is not there."""
        with self._lock:
            segment = self._current
            if segment is None:
                segment = self._current = self._create()
            seq = self.next_seq
            frame = _frame(seq, record)
            try:
                written = self.files.write(segment.fd, frame)
                if written != len(frame):
                    write_all(self.files, segment.fd, memoryview(frame)[written:])
            except OSError as error:
                self._cut(segment)
                raise machine_error("append to the journal", segment.path, error) from error
            self.next_seq = seq + 1
            segment.size += len(frame)
            segment.rows += 1
            segment.dirty = True
            return seq

    def reserve(self, count: int) -> int:
        """Takes `count` numbers for a part that is not journaled; returns the first. The open segment must be empty."""
        with self._lock:
            first = self.next_seq
            self.next_seq += count
            return first

    def sync(self) -> int:
        """Everything appended before the call is on disk when it returns: all `seq` up to the returned one."""
        with self._sync_lock:
            with self._lock:
                upto = self.next_seq - 1
                segments = [*self._unsynced, *([self._current] if self._current else [])]
            for segment in segments:
                self._datasync(segment)
            return upto

    def rotate(self) -> Path | None:
        """Ends the open segment: on disk and closed, its path returned (None if it is empty). Appends may go on."""
        if not self.rows:
            return None
        with machine("start a journal segment", self.folder):
            fresh = self._create()
        with self._lock:
            old, self._current = self._current, fresh
            assert old is not None
            self._unsynced.append(old)
        with self._sync_lock:
            self._datasync(old)
            self._unsynced.remove(old)
            self.files.close(old.fd)
        return old.path

    def close(self) -> None:
        """Removes the open segment if it is empty; syncs and closes it otherwise."""
        path = self.rotate()
        segment, self._current = self._current, None
        if segment is not None:
            with machine("close the journal", segment.path):
                self.files.close(segment.fd)
                self.files.unlink(segment.path)
        assert path is None or path != (segment and segment.path)

    def _create(self) -> Segment:
        # Named by a number no greater than its first seq, so that names sort as seqs do.
        path = self.folder / f"{self.next_seq:012d}.journal"
        magic = _MAGIC % FORMAT
        with machine("start a journal segment", path):
            fd = self.files.create(path)
            write_all(self.files, fd, magic)
            self.files.datasync(fd)
            self.files.sync_folder(self.folder)
        return Segment(path, fd, len(magic))

    def _cut(self, segment: Segment) -> None:
        # What a refused write left behind would hide every later record from replay.
        try:
            self.files.truncate(segment.fd, segment.size)
        except OSError:
            self._unsynced.append(segment)
            self._current = None

    def _datasync(self, segment: Segment) -> None:
        if segment.dirty:
            segment.dirty = False
            try:
                self.files.datasync(segment.fd)
            except OSError as error:
                segment.dirty = True
                raise machine_error("sync the journal", segment.path, error) from error


def segments(folder: Path) -> list[Path]:
    """Journal files in the order they were written."""
    return sorted(folder.glob("*.journal"))


def replay(path: Path) -> Iterator[Entry]:
    """The whole records of one segment, in order; a torn or zeroed tail is dropped. Raises StoreError for a format
    that this version does not read."""
    data = memoryview(path.read_bytes())
    offset = _body(path, data)
    while offset + _HEAD.size <= len(data):
        length, checksum, seq, kind = _HEAD.unpack_from(data, offset)
        end = offset + _HEAD.size + length
        if end > len(data) or zlib.crc32(data[offset + 8 : end]) != checksum:
            return
        yield Entry(seq, _decoders[kind].decode(data[offset + _HEAD.size : end]))
        offset = end


def _frame(seq: int, record: Record) -> bytes:
    body = _encode(record)
    tail = _TAIL.pack(seq, KINDS[type(record)])
    return struct.pack("<II", len(body), zlib.crc32(body, zlib.crc32(tail))) + tail + body


def _body(path: Path, data: memoryview) -> int:
    for version in READABLE:
        magic = _MAGIC % version
        if data[: len(magic)] == magic:
            return len(magic)
    head = bytes(data[:64])
    if (_MAGIC % FORMAT).startswith(head) or not head.strip(b"\0"):
        return len(data)
    raise StoreError(
        f"{path} is not a journal that this version reads (it reads format {', '.join(map(str, READABLE))}). "
        "Open this output with the version that wrote it, or set another output."
    )
