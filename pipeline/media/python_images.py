"""Turns pictures of Python programs (PIL pictures and numpy arrays) into the bytes of a file."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

_COLOUR_TYPES = {"L": 0, "RGB": 2, "RGBA": 6}
_STORED = 65_535
"""The most bytes of a block that is not compressed (RFC 1951 §3.2.4)."""


def is_pil(value: Any) -> bool:
    """Tells whether a value is a PIL picture. Does not import Pillow."""
    return any(kind.__module__ == "PIL.Image" and kind.__name__ == "Image" for kind in type(value).__mro__)


def is_image_array(value: Any) -> bool:
    """Tells whether a value is a numpy array that holds a picture.

    The type is uint8 or bool. The shape is height × width, or height × width × 1, 3 or 4 channels.
    """
    if not (hasattr(value, "dtype") and hasattr(value, "ndim") and hasattr(value, "shape")):
        return False
    if str(value.dtype) not in ("uint8", "bool") or value.ndim not in (2, 3) or min(value.shape[:2]) < 1:
        return False
    return value.ndim == 2 or value.shape[2] in (1, 3, 4)


def file_of_array(value: Any) -> bytes:
    """Returns the PNG of an array for which `is_image_array` is true."""
    import numpy as np
    from PIL import Image as Pictures

    array = np.asarray(value)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return _png(Pictures.fromarray(np.ascontiguousarray(array)))


def file_of_image(image: Image) -> bytes:
    """Returns the PNG of a PIL picture, upright, in grey, RGB or RGBA; a TIFF for the modes I, F and I;16.

    For a picture that Pillow cannot read to its end, returns only the first bytes of a PNG, so that the picture is
    refused as cut off.
    """
    from PIL import ImageOps

    try:
        image = ImageOps.exif_transpose(image) or image
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            return _by_pillow(image)
        if "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBa"):
            image = image.convert("RGBA")
        elif image.mode == "1":
            image = image.convert("L")
        elif image.mode not in _COLOUR_TYPES:
            image = image.convert("RGB")
        return _png(image)
    except (OSError, SyntaxError, ValueError):
        return b"\x89PNG\r\n\x1a\n"


def _by_pillow(image: Image) -> bytes:
    import io

    file = io.BytesIO()
    image.save(file, "TIFF")
    return file.getvalue()


def _png(image: Image) -> bytes:
    """Returns a PNG that is not compressed.

    So the same pixels give the same bytes under any version of zlib, and stay the same row. The picture is compressed
    when it is fitted to the model.
    """
    width, height = image.size
    channels = len(image.getbands())
    pixels, line = image.tobytes(), width * channels
    rows = b"".join(b"\0" + pixels[place : place + line] for place in range(0, len(pixels), line))
    head = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[image.mode], 0, 0, 0)
    chunks = _chunk(b"IHDR", head) + _chunk(b"IDAT", _stored(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _stored(body: bytes) -> bytes:
    parts = [b"\x78\x01"]
    for place in range(0, len(body), _STORED):
        piece = body[place : place + _STORED]
        last = place + _STORED >= len(body)
        parts += [struct.pack("<BHH", last, len(piece), len(piece) ^ 0xFFFF), piece]
    return b"".join([*parts, struct.pack(">I", zlib.adler32(body))])


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))
