"""Takes metadata out of a PNG that Pillow refuses for its metadata: large texts, wrong checksums, broken profiles."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

START = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT"))
"""Chunks without which the picture looks different. They stay as they are, whatever is wrong with them."""

_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""Keywords of the texts in which Pillow looks for the orientation."""

MOST_TEXT = 1 << 20
"""Bytes of an unpacked text or profile: Pillow's own bound (PngImagePlugin.MAX_TEXT_CHUNK)."""


def without_metadata(body: bytes) -> bytes:
    """The same picture without texts, and without any other metadata that Pillow cannot read.

    A sound colour profile and a sound orientation stay. What stands behind the end of the PNG is left out.
    """
    return START + b"".join(
        part for name, data, part in _chunks(body) if name in _PIXELS or _is_sound(name, data, part)
    )


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(name, data, the whole chunk) in order, as far as they are whole; a last one that is cut is given as it is."""
    place = len(START)
    while place + 8 <= len(body):
        end = place + 12 + int.from_bytes(body[place : place + 4], "big")
        name = body[place + 4 : place + 8]
        yield name, body[place + 8 : end - 4], body[place:end]
        if name == b"IEND":
            return
        place = end


def _is_sound(name: bytes, data: bytes, part: bytes) -> bool:
    if name not in (b"iCCP", b"eXIf", b"iTXt", b"zTXt"):
        return False
    if len(data) > MOST_TEXT or zlib.crc32(name + data).to_bytes(4, "big") != part[-4:]:
        return False
    if name == b"eXIf":
        return True
    keyword, mark, rest = data.partition(b"\0")
    if name == b"iCCP":
        return rest[:1] == b"\0" and _unpacks(rest[1:])
    if keyword + mark not in _ORIENTATION:
        return False
    if name == b"zTXt":
        return rest[:1] == b"\0" and _unpacks(rest[1:])
    return rest[:1] == b"\0"


def _unpacks(packed: bytes) -> bool:
    reader = zlib.decompressobj()
    try:
        reader.decompress(packed, MOST_TEXT)
    except zlib.error:
        return False
    return not reader.unconsumed_tail
