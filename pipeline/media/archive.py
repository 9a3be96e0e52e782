"""One open archive: lists the members in order, and finds a member by offset or by name.

A content is never read beyond a bound, whatever size the headers claim.
"""

from __future__ import annotations

import io
import os
import threading
import unicodedata
import zlib
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.errors import refusal
from pipeline.media import tar_headers, zip_headers
from pipeline.media.paths import ArchiveKind, DamagedArchive, Entry, archive_kind
from pipeline.types import Member

if TYPE_CHECKING:
    import numpy as np

_CHUNK = 1 << 20

_Facts = tuple[int, int, int, int]


class Archive:
    """An archive behind an open descriptor. `name` is for messages.

    The caller closes the descriptor, unless `opened` has taken the descriptor over.
    Raises DamagedArchive if the file is not an archive of the kind that its path says.
    """

    def __init__(self, fd: int, path: str, name: str) -> None:
        facts = os.fstat(fd)
        self._fd = fd
        self._name = name
        self._kind: ArchiveKind = archive_kind(path) or "tar"
        self.length = facts.st_size
        self.facts: _Facts = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
        if self._kind == "zip":
            self._directory = _directory(fd, self.facts)
        elif not tar_headers.is_tar(os.pread(fd, tar_headers.BLOCK, 0)):
            raise DamagedArchive(0, "no tar archive: it does not begin with the header of a member")

    def entries(self) -> Iterator[Entry]:
        """Yields all entries in order. Raises DamagedArchive at the place from which the rest cannot be read."""
        if self._kind == "zip":
            return zip_headers.entries(self._fd, self._directory)
        return tar_headers.entries(self._fd, self.length)

    def entry_at(self, offset: int) -> Entry:
        """Returns the entry that begins at `offset`, an `Entry.offset`. Raises DamagedArchive if there is none."""
        if self._kind == "zip":
            return zip_headers.entry_at(self._fd, self._directory, offset)
        entry = next(tar_headers.entries(self._fd, self.length, offset), None)
        if entry is None:
            raise DamagedArchive(offset, f"no header of a member at byte {offset:,}")
        return entry

    def member(self, entry: Entry) -> Member:
        """Returns the place of a member, with the mark by which a later look recognises the same member."""
        mark = f"{entry.crc:08x}" if entry.crc is not None else f"{self.facts[2]}:{self.facts[3]}"
        return Member(name=entry.name, offset=entry.offset, size=entry.size, mark=mark)

    def entry_of(self, member: Member) -> Entry:
        """Returns the entry of a member that was found before. Reads only the header.

        Raises Fault `Local.ChangedArchive` if another member, or no member, lies there now.
        """
        assert member.offset is not None
        try:
            entry = self.entry_at(member.offset)
        except DamagedArchive:
            entry = None
        if entry is None or (entry.name, entry.size) != (member.name, member.size):
            raise refusal("ChangedArchive", f"{self._name}: the archive changed after it was read; run again")
        return entry

    def read(self, entry: Entry, most: int) -> bytes:
        """Returns the content of a member, which may have at most `most` bytes.

        Raises Fault `Local.NotAFile` (a folder, a link), `Local.EmptyFile`, `Local.TooLarge`, `Local.UnreadableMember`
        (encrypted, an unknown compression) and `Local.DamagedMember` (cut off, or not the bytes that the archive
        states).
        """
        self._check(entry, most)
        start = self._start(entry)
        body = self._inflated(entry, start) if entry.deflated else self._plain(entry, start)
        if entry.crc is not None and zlib.crc32(body) != entry.crc:
            raise refusal("DamagedMember", f"{self._name}: its checksum is not the one that the archive states")
        return body

    def opened(self, entry: Entry, most: int) -> io.BufferedReader | io.BytesIO:
        """Returns the content as a file that can seek. Raises the same errors as `read`.

        Takes the descriptor over: closes the descriptor at once for a deflated member, otherwise together with the
        returned file. After an error, the descriptor is still open.
        """
        if entry.deflated:
            body = self.read(entry, most)
            os.close(self._fd)
            return io.BytesIO(body)
        self._check(entry, most)
        return io.BufferedReader(_Window(self._fd, self._start(entry), entry.size))

    def _check(self, entry: Entry, most: int) -> None:
        if entry.kind != "file":
            raise refusal("NotAFile", f"{self._name}: this member is a {entry.kind}; expected a file")
        if entry.reason is not None:
            raise refusal("UnreadableMember", f"{self._name}: {entry.reason}")
        if entry.size == 0:
            raise refusal("EmptyFile", f"{self._name}: the file is empty")
        if max(entry.size, entry.packed) > most:
            raise refusal("TooLarge", f"{self._name}: {entry.size:,} bytes; more than {most:,} are never read")
        if not entry.deflated and entry.packed != entry.size:
            raise refusal("DamagedMember", f"{self._name}: the archive states two sizes for it")

    def _start(self, entry: Entry) -> int:
        if self._kind == "tar":
            return entry.data
        try:
            return zip_headers.data_offset(self._fd, entry)
        except DamagedArchive as error:
            raise refusal("DamagedMember", f"{self._name}: {error.reason}") from None

    def _plain(self, entry: Entry, start: int) -> bytes:
        body = os.pread(self._fd, entry.size, start)
        while len(body) < entry.size and (more := os.pread(self._fd, entry.size - len(body), start + len(body))):
            body += more
        if len(body) < entry.size:
            raise refusal("DamagedMember", f"{self._name}: the archive ends in the middle of it")
        return body

    def _inflated(self, entry: Entry, start: int) -> bytes:
        """Returns the unpacked content. Unpacks at most one byte more than the size that the archive states."""
        unpacker, found, place, left = zlib.decompressobj(-15), bytearray(), start, entry.packed
        try:
            while not unpacker.eof and len(found) <= entry.size:
                packed = unpacker.unconsumed_tail
                if not packed:
                    packed = os.pread(self._fd, min(_CHUNK, left), place)
                    place, left = place + len(packed), left - len(packed)
                if not packed:
                    break
                found += unpacker.decompress(packed, min(_CHUNK, entry.size + 1 - len(found)))
        except zlib.error as error:
            raise refusal("DamagedMember", f"{self._name}: cannot be unpacked: {error}") from None
        if len(found) != entry.size:
            more = "more" if len(found) > entry.size else f"{len(found):,}"
            raise refusal("DamagedMember", f"{self._name}: {more} bytes where the archive states {entry.size:,}")
        return bytes(found)


class _Window(io.RawIOBase):
    """A file that shows a range of bytes of another file. Owns the descriptor."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        self._fd = fd
        self._start = start
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        wanted = max(0, min(len(view), self._size - self._at))
        body = os.pread(self._fd, wanted, self._start + self._at)
        view[: len(body)] = body
        self._at += len(body)
        return len(body)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


_known: dict[_Facts, zip_headers.Directory] = {}
_lock = threading.Lock()
_MOST_KNOWN = 256


def _directory(fd: int, facts: _Facts) -> zip_headers.Directory:
    """Returns the place of a zip's central directory. Remembers the place as long as the archive does not change."""
    found = _known.get(facts)
    if found is None:
        found = zip_headers.directory(fd, facts[2])
        with _lock:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[facts] = found
    return found


MOST_MEMBERS = 4_000_000
"""The most members whose places are kept, over all archives (64 MB). The archive that was used longest ago is dropped
first; the archive in use is always kept."""


class _Index:
    """The places of one archive's members, sorted by the hash of their names.

    Members of the same name keep the order that they have in the archive.
    """

    def __init__(self, archive: Archive) -> None:
        import numpy as np

        hashes, places = array("q"), array("q")
        try:
            for entry in archive.entries():
                hashes.append(hash(entry.name))
                places.append(entry.offset)
        except DamagedArchive:
            pass  # the members before the damage can be read
        found = np.frombuffer(hashes, dtype=np.int64) if hashes else np.empty(0, np.int64)
        order = np.argsort(found, kind="stable")
        self._hashes: np.ndarray[Any, Any] = found[order]
        self._places: np.ndarray[Any, Any] = np.array(places, dtype=np.int64)[order]

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, archive: Archive, name: str) -> Entry | None:
        wanted = hash(name)
        at = int(self._hashes.searchsorted(wanted))
        while at < len(self) and self._hashes[at] == wanted:
            entry = archive.entry_at(int(self._places[at]))
            if entry.name == name:
                return entry
            at += 1
        return None


_indexes: OrderedDict[Any, _Index] = OrderedDict()
_index_lock = threading.Lock()


def find(archive: Archive, name: str) -> Entry | None:
    """Returns the first member of a name, in either Unicode form (NFC, NFD); None if no member has this name.

    Raises DamagedArchive if the archive changed meanwhile.
    """
    with _index_lock:
        index = _indexes.pop(archive.facts, None) or _Index(archive)
        _indexes[archive.facts] = index
        while len(_indexes) > 1 and sum(map(len, _indexes.values())) > MOST_MEMBERS:
            _indexes.popitem(last=False)
    forms = (name,) if name.isascii() else (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    for form in dict.fromkeys(forms):
        if (entry := index.find(archive, form)) is not None:
            return entry
    return None
