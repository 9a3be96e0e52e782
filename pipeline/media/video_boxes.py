"""Reads the boxes of an MP4 or QuickTime file (ISO/IEC 14496-12) to find its index and how its picture is turned."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

_MOST_BOXES = 10_000  # a whole film has a few dozen boxes; a hostile file may hold millions of empty boxes

# The 3×3 matrix of a track header (16.16 numbers a, b, c, d) → quarter turns clockwise.
_TURNS = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 1, (-1, 0, 0, -1): 2, (0, -1, 1, 0): 3}


def has_index(file: BinaryIO) -> bool:
    """Tells whether the file holds the whole box `moov`."""
    return any(kind == b"moov" for kind, _start, _end in _boxes(file, 0, _length(file)))


def quarter_turns(file: BinaryIO) -> int:
    """Returns the quarter turns clockwise, 0 to 3, of the first video track when shown. Keeps the file's position."""
    place = file.tell()
    try:
        for kind, start, end in _boxes(file, 0, _length(file)):
            if kind == b"moov":
                return _first_turn(file, start, end)
        return 0
    finally:
        file.seek(place)


def _first_turn(file: BinaryIO, start: int, end: int) -> int:
    for kind, inner, last in _boxes(file, start, end):
        if kind != b"trak":
            continue
        turn, is_video = 0, False
        for child, begin, stop in _boxes(file, inner, last):
            if child == b"tkhd":
                turn = _turn(_read(file, begin, min(stop - begin, 96)))
            elif child == b"mdia":
                is_video = _is_video(file, begin, stop)
        if is_video:
            return turn
    return 0


def _is_video(file: BinaryIO, start: int, end: int) -> bool:
    for kind, begin, _stop in _boxes(file, start, end):
        if kind == b"hdlr":
            return _read(file, begin + 8, 4) == b"vide"
    return False


def _turn(body: bytes) -> int:
    """Returns the quarter turns in a track header. The matrix begins at byte 52 in version 1, at 40 in version 0."""
    place = 52 if body[:1] == b"\x01" else 40
    if len(body) < place + 20:
        return 0
    a, b, _u, c, d = struct.unpack_from(">5i", body, place)
    return _TURNS.get(tuple((value > 0) - (value < 0) for value in (a, b, c, d)), 0)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields (kind, first byte of the content, end of the content) of each whole box between two places."""
    for _ in range(_MOST_BOXES):
        head = _read(file, start, 16)
        if len(head) < 8 or start + 8 > end:
            return
        size, header = int.from_bytes(head[:4], "big"), 8
        if size == 1 and len(head) == 16:
            size, header = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = end - start
        if size < header or start + size > end:
            return
        yield head[4:8], start + header, start + size
        start += size


def _read(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _length(file: BinaryIO) -> int:
    return file.seek(0, 2)
