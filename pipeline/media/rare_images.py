"""Opens pictures of rare formats (TGA, PSD, DDS, …) with Pillow. No service takes them, so they are written anew."""

from __future__ import annotations

import struct
from collections.abc import Mapping
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
"""Pillow's modules without "ImagePlugin", whose readers decode by themselves. EPS is not among them: Pillow gives it to
Ghostscript, another program."""

_STRICT = ("IM", "PCD", "SPIDER")
"""Formats without a fixed beginning whose readers check a header of many values before they take a file."""

_TGA = struct.Struct("<BBBHHBHHHHBB")


def open_rare(file: BinaryIO, head: bytes) -> Image | None:
    """The picture opened but not decoded, or None if no reader takes it. `head`: the first bytes, 2 KB or more."""
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
    """Format → (reader, test of the first 16 bytes or None) of those that this Pillow has."""
    from PIL import Image

    for name in _FORMATS:
        with suppress(ImportError):
            import_module(f"PIL.{name}ImagePlugin")
    return {form: Image.OPEN[form] for name in _FORMATS if (form := name.upper()) in Image.OPEN}


def _is_tga(head: bytes) -> bool:
    """A header in which every field has one of its few values (Truevision TGA 2.0, 1991, §Header), so that hardly any
    other file is taken for a picture: TGA has no fixed beginning."""
    if len(head) < _TGA.size:
        return False
    _, mapped, form, start, length, entry, _, _, width, height, bits, flags = _TGA.unpack_from(head)
    if mapped == 0:
        colours = (start, length, entry) == (0, 0, 0) and form in (2, 3, 10, 11)
    else:
        colours = mapped == 1 and form in (1, 9) and 0 < length <= 256 and entry in (15, 16, 24, 32)
    return bool(colours and width and height and bits in (1, 8, 15, 16, 24, 32) and flags & 0xC0 == 0)
