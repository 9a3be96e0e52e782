"""The journal: append-only files of framed records with checksums. An outcome is kept here before a run counts it."""

from __future__ import annotations

import re
import struct
import threading
import zlib
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pipeline.errors import StoreError
from pipeline.store.disk import Files, machine, machine_error, write_all
from pipeline.store.records import KINDS, TYPES, Record

FORMAT = 1
READABLE = (1,)
"""Journal formats this version reads: its own and, once there is one, the one before."""

_MAGIC = b"pipeline journal %d\n"
_BLOCK = 4096  # a file system may return rubbish up to this size for a header that never reached the disk
_HEAD = struct.Struct("<IIQB")  # length of the body, checksum of the rest of the frame, seq, kind
_TAIL = struct.Struct("<QB")
_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
_decoders = {kind: msgspec.msgpack.Decoder(type_) for kind, type_ in TYPES.items()}


class Entry(NamedTuple):
    """One record as replayed."""

    seq: int
    record: Record


class Segment:
    """One journal file being written. `size`: bytes of the complete records; `records`: outcomes and attempts."""

    __slots__ = ("dirty", "fd", "path", "records", "size")

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        self.records = 0
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
        self._ended: list[Segment] = []

    @property
    def records(self) -> int:
        """Records in the open segment."""
        return self._current.records if self._current else 0

    @property
    def size(self) -> int:
        """Bytes in the open segment."""
        return self._current.size if self._current else 0

    def begin(self) -> None:
        """Opens the segment that takes the first record, on disk when this returns. Raises MachineError."""
        with self._lock:
            if self._current is None:
                self._current = self._create()

    def append(self, *records: Record) -> int:
        """Writes records to the file, all in one write, and returns the `seq` of the last.

        Raises MachineError; then none of them is there.
        """
        with self._lock:
            segment = self._current
            if segment is None:
                segment = self._current = self._create()
            seq = self.next_seq
            frames = b"".join([_frame(number, record) for number, record in enumerate(records, seq)])
            try:
                written = self.files.write(segment.fd, frames)
                if written != len(frames):
                    write_all(self.files, segment.fd, memoryview(frames)[written:])
            except OSError as error:
                self._cut(segment)
                raise machine_error("append to the journal", segment.path, error) from error
            self.next_seq = seq + len(records)
            segment.size += len(frames)
            segment.records += len(records)
            segment.dirty = True
            return self.next_seq - 1

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
                segments = [*self._ended, *([self._current] if self._current else [])]
            for segment in segments:
                self._datasync(segment)
            return upto

    def rotate(self) -> list[Path]:
        """Ends the open segment and the abandoned segments: they are on disk and closed. Returns their paths.

        Other threads may append meanwhile.
        """
        if self.records:
            with machine("start a journal segment", self.folder):
                fresh = self._create()
            with self._lock:
                old, self._current = self._current, fresh
                if old is not None:
                    self._ended.append(old)
        return self._close_ended()

    def close(self) -> list[Path]:
        """Ends all segments like `rotate`, and opens none."""
        with self._lock:
            last, self._current = self._current, None
            if last is not None:
                self._ended.append(last)
        return self._close_ended()

    def _close_ended(self) -> list[Path]:
        paths = []
        with self._sync_lock:
            while self._ended:
                segment = self._ended[0]
                self._datasync(segment)
                self.files.close(segment.fd)
                self._ended.pop(0)
                paths.append(segment.path)
        return paths

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
        # The rest of a refused write would hide every later record from replay.
        try:
            self.files.truncate(segment.fd, segment.size)
        except OSError:
            self._ended.append(segment)
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


def replay(path: Path, wanted: Container[int] | None = None) -> Iterator[Entry]:
    """Yields the complete records of one segment, in order. An incomplete or zeroed end is dropped. `wanted`: only the
    records with these numbers. Raises StoreError for a format that this version does not read."""
    data = memoryview(path.read_bytes())
    offset = _body(path, data)
    while offset + _HEAD.size <= len(data):
        if not _is_complete_frame(data, offset):
            return
        length, _, seq, kind = _HEAD.unpack_from(data, offset)
        end = offset + _HEAD.size + length
        if wanted is None or seq in wanted:
            yield Entry(seq, _decoders[kind].decode(data[offset + _HEAD.size : end]))
        offset = end


def _frame(seq: int, record: Record) -> bytes:
    try:
        body = _encode(record)
    except (OverflowError, UnicodeError, RecursionError):
        # A paid answer is kept even if a reply or a manifest has values that msgpack cannot encode.
        body = _encode({name: _encodable(getattr(record, name)) for name in record.__struct_fields__})
    tail = _TAIL.pack(seq, KINDS[type(record)])
    return struct.pack("<II", len(body), zlib.crc32(body, zlib.crc32(tail))) + tail + body


def _encodable(value: Any, depth: int = 0) -> Any:
    """The value with whole numbers beyond 64 bits as text, lone surrogates replaced, and no more than 100 levels."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(item, depth + 1) for key, item in value.items()} if depth < 100 else None
    if isinstance(value, (list, tuple)):
        return [_encodable(item, depth + 1) for item in value] if depth < 100 else None
    return value


def _body(path: Path, data: memoryview) -> int:
    """Returns the offset of the first record.

    The header is synced before the first record is written: after a header that a crash cut there are no records.
    """
    head = bytes(data[:64])
    matched = re.match(rb"pipeline journal (\d+)\n", head)
    begin = len(_MAGIC % FORMAT)
    if matched is not None and int(matched[1]) in READABLE:
        return matched.end()
    if matched is None and (len(data) < _BLOCK or _is_complete_frame(data, begin)):
        return begin
    raise StoreError(
        f"{path} is not a journal that this version reads (it reads format {', '.join(map(str, READABLE))}). "
        "Open this output with the version that wrote it, or set another output."
    )


def _is_complete_frame(data: memoryview, offset: int) -> bool:
    """Returns whether a complete frame begins at the offset."""
    length, checksum, _, _ = _HEAD.unpack_from(data, offset)
    end = offset + _HEAD.size + length
    return end <= len(data) and bool(zlib.crc32(data[offset + 8 : end]) == checksum)
