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
"""Journal formats that this version reads: its own format and, when there is an earlier format, the format before."""

_MAGIC = b"pipeline journal %d\n"
_BLOCK = 4096  # if a header never reached the disk, a file system may return random bytes up to this size
_HEAD = struct.Struct("<IIQB")  # length of the body, checksum of the rest of the frame, seq, kind
_TAIL = struct.Struct("<QB")
_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
_decoders = {kind: msgspec.msgpack.Decoder(type_) for kind, type_ in TYPES.items()}


class Entry(NamedTuple):
    """One record that was read from a segment, with its `seq`."""

    seq: int
    record: Record


class Segment:
    """A journal file that is being written.

    `size`: bytes of the file up to the end of the last complete record. `records`: number of records. `dirty`: the file
    has bytes that are not synced.
    """

    __slots__ = ("dirty", "fd", "path", "records", "size")

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        self.records = 0
        self.dirty = True


class Journal:
    """Appends records with rising `seq`, from one or several threads.

    If the process is killed, no appended record is lost. A power cut may lose records that `sync` has not confirmed.
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
        """The number of records in the open segment."""
        return self._current.records if self._current else 0

    @property
    def size(self) -> int:
        """The number of bytes in the open segment."""
        return self._current.size if self._current else 0

    def begin(self) -> None:
        """Opens the segment for the first record. The segment is on disk when this returns. Raises MachineError."""
        with self._lock:
            if self._current is None:
                self._current = self._create()

    def append(self, *records: Record) -> int:
        """Writes all records to the file in one write, and returns the `seq` of the last record.

        Raises MachineError; then none of the records is kept.
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
        """Takes `count` numbers for a part that is not journaled. Returns the first number.

        The open segment must be empty.
        """
        with self._lock:
            first = self.next_seq
            self.next_seq += count
            return first

    def sync(self) -> int:
        """Syncs all records that were appended before the call. All records up to the returned `seq` are then on disk.

        Raises MachineError.
        """
        with self._sync_lock:
            with self._lock:
                upto = self.next_seq - 1
                segments = [*self._ended, *([self._current] if self._current else [])]
            for segment in segments:
                self._datasync(segment)
            return upto

    def rotate(self) -> list[Path]:
        """Ends the open segment and the abandoned segments: syncs and closes them. Returns their paths.

        Opens a new segment. Other threads may append meanwhile. An open segment without records stays open.
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
        """Ends all segments like `rotate`, but opens no new segment."""
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
        # The name is a number no greater than the first `seq` of the segment, so that names sort like the `seq`.
        path = self.folder / f"{self.next_seq:012d}.journal"
        magic = _MAGIC % FORMAT
        with machine("start a journal segment", path):
            fd = self.files.create(path)
            write_all(self.files, fd, magic)
            self.files.datasync(fd)
            self.files.sync_folder(self.folder)
        return Segment(path, fd, len(magic))

    def _cut(self, segment: Segment) -> None:
        # If the incomplete bytes of a failed write stayed, replay would not read any later record.
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
    """Returns the journal files in the order in which they were written."""
    return sorted(folder.glob("*.journal"))


def replay(path: Path, wanted: Container[int] | None = None) -> Iterator[Entry]:
    """Yields the complete records of one segment, in order. An incomplete or zeroed end is ignored.

    `wanted`: if given, only records with these `seq` are yielded. Raises StoreError for a format that this version does
    not read.
    """
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
        # A paid answer must be kept even if a reply or a manifest has values that msgpack cannot encode.
        body = _encode({name: _encodable(getattr(record, name)) for name in record.__struct_fields__})
    tail = _TAIL.pack(seq, KINDS[type(record)])
    return struct.pack("<II", len(body), zlib.crc32(body, zlib.crc32(tail))) + tail + body


def _encodable(value: Any, depth: int = 0) -> Any:
    """Returns the value in a form that msgpack can encode.

    Whole numbers beyond 64 bits become text, lone surrogates are replaced, and deeper levels than 100 become None.
    """
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
    """Returns the offset of the first record. Raises StoreError for a format that this version does not read.

    The header is synced before the first record is written. So if a crash cut the header, there are no records.
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
    """Tells whether a complete frame begins at the offset."""
    length, checksum, _, _ = _HEAD.unpack_from(data, offset)
    end = offset + _HEAD.size + length
    return end <= len(data) and bool(zlib.crc32(data[offset + 8 : end]) == checksum)
