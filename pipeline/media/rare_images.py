"""Helps Pillow with two kinds of images: rare formats, and PNG files whose metadata Pillow refuses."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

from pipeline.machine import pass_on

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = (
    "Blp",
    "Cur",
    "Dcx",
    "Dds",
    "Fits",
    "Fli",
    "Ftex",
    "Gbr",
    "Im",
    "McIdas",
    "Msp",
    "Pcd",
    "Pcx",
    "Pixar",
    "Ppm",
    "Psd",
    "Qoi",
    "Spider",
    "Sun",
    "Tga",
    "Xbm",
    "Xpm",
    "XVThumb",
)
"""Names of Pillow's modules, without "ImagePlugin", whose readers decode without another program. EPS is not listed:
Pillow passes EPS to Ghostscript, which is another program."""

_STRICT = ("IM", "PCD", "SPIDER")
"""Formats without fixed first bytes. Their readers check many values of the header before they accept a file."""

_TGA = struct.Struct("<BBBHHBHHHHBB")


def open_rare(file: BinaryIO, head: bytes) -> Image | None:
    """Opens a picture without decoding it; returns None if no reader accepts it. `head`: the first 18 bytes or more."""
    for form, (factory, accept) in _readers().items():
        begins = form in _STRICT if accept is None else accept(head[:16]) is True
        taken = _is_tga(head) if form == "TGA" else begins
        if not taken:
            continue
        file.seek(0)
        try:
            image: Image = factory(file, "")
        except Exception as error:  # a reader may raise nearly anything on hostile bytes
            pass_on(error)
            continue
        return image
    return None


@cache
def _readers() -> Mapping[str, tuple[Any, Any]]:
    """Returns format → (reader, test of the first 16 bytes or None), for the formats that this Pillow can read."""
    from PIL import Image

    for name in _FORMATS:
        with suppress(ImportError):
            import_module(f"PIL.{name}ImagePlugin")
    return {form: Image.OPEN[form] for name in _FORMATS if (form := name.upper()) in Image.OPEN}


def _is_tga(head: bytes) -> bool:
    """Tells whether every field of a TGA header has one of its few valid values (Truevision TGA 2.0, 1991, §Header).

    TGA has no fixed first bytes. This check accepts hardly any other file as a picture.
    """
    if len(head) < _TGA.size:
        return False
    _, mapped, form, start, length, entry, _, _, width, height, bits, flags = _TGA.unpack_from(head)
    if mapped == 0:
        colours = (start, length, entry) == (0, 0, 0) and form in (2, 3, 10, 11)
    else:
        colours = mapped == 1 and form in (1, 9) and 0 < length <= 256 and entry in (15, 16, 24, 32)
    return bool(colours and width and height and bits in (1, 8, 15, 16, 24, 32) and flags & 0xC0 == 0)


START = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT"))
"""Chunks without which the picture looks different. They are kept unchanged, also if they are damaged."""

_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""Keywords of the text chunks in which Pillow looks for the orientation."""

MOST_TEXT = 1 << 20
"""The most bytes of an unpacked text or profile: Pillow's own bound (PngImagePlugin.MAX_TEXT_CHUNK)."""


def without_metadata(body: bytes) -> bytes:
    """Returns the same PNG with its pixels, its colour profile and its orientation, and without other metadata.

    A damaged colour profile or orientation is left out. Bytes behind the end of the PNG are left out.
    """
    return START + b"".join(
        part for name, data, part in _chunks(body) if name in _PIXELS or _is_sound(name, data, part)
    )


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yields (name, data, whole chunk) of each chunk in order. Yields the existing part of a cut last chunk."""
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
