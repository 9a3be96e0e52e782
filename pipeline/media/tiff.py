"""TIFF: counts pages without decoding them, and keeps libtiff from printing to stderr.

libtiff prints a line for each broken row of a picture directly to the process's stderr. These lines stand between our
log lines, and one bad fax gives a thousand of them. Pillow does not report these lines, and raises an error for a
picture that it cannot read.
"""

from __future__ import annotations

import functools
import struct
from typing import BinaryIO

MOST_DIRECTORIES = 10_000
"""The most directories that are read. A longer chain of directories is taken for a chain without an end."""

_NEW_SUBFILE_TYPE, _SUBFILE_TYPE = 254, 255
_REDUCED, _MASK = 1, 4
"""Bits of NewSubfileType (TIFF 6.0, page 36): a smaller copy of another page, and a mask of another page."""


def page_frames(file: BinaryIO) -> tuple[int, ...]:
    """Returns the numbers, from 0, of the directories that are pages. Thumbnails and masks are not pages.

    Returns an empty tuple if the file cannot be read. Changes the file's position.
    """
    try:
        return tuple(_pages(file))
    except (OSError, ValueError, struct.error):
        return ()


def _pages(file: BinaryIO) -> list[int]:
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    pointer, count, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    place = struct.unpack_from(order + pointer, head, 8 if big else 4)[0]
    seen: set[int] = set()
    pages: list[int] = []
    while place and place not in seen and len(seen) < MOST_DIRECTORIES:
        seen.add(place)
        file.seek(place)
        number = struct.unpack(order + count, file.read(struct.calcsize(count)))[0]
        if number > 4096:
            break
        entries = file.read(number * entry)
        following = file.read(struct.calcsize(pointer))
        if len(entries) < number * entry:
            break
        if not _is_part(entries, order, entry):
            pages.append(len(seen) - 1)
        if len(following) < struct.calcsize(pointer):
            break
        place = struct.unpack(order + pointer, following)[0]
    return pages


def _is_part(entries: bytes, order: str, size: int) -> bool:
    """Tells whether a directory states that it is a smaller copy or a mask of another page."""
    for place in range(0, len(entries), size):
        tag, kind = struct.unpack_from(f"{order}HH", entries, place)
        value = place + size - (8 if size == 20 else 4)
        if tag == _NEW_SUBFILE_TYPE:
            return bool(struct.unpack_from(f"{order}I", entries, value)[0] & (_REDUCED | _MASK))
        if tag == _SUBFILE_TYPE:
            found = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", entries, value)[0]
            return bool(found == 2)
    return False


@functools.cache
def silence_libtiff() -> None:
    """Removes libtiff's handlers of warnings and errors in this process, and keeps Pillow's log off stderr.

    If Pillow was built with libtiff inside it (Windows), the handlers cannot be reached, and they stay.
    Source: libtiff's manual, TIFFSetErrorHandler(3tiff) and TIFFSetWarningHandler(3tiff): NULL switches messages off.
    """
    import ctypes
    import logging

    from PIL import _imaging

    # Without a handler, Python prints the messages that Pillow's readers log about a broken picture.
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    try:
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            set_handler = getattr(library, name)
            set_handler.argtypes = [ctypes.c_void_p]
            set_handler.restype = ctypes.c_void_p
            set_handler(None)
    except (AttributeError, OSError, TypeError):
        return
