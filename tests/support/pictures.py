"""Pictures and sounds made for the tests."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from pipeline.types import Media


def drawn(width: int = 120, height: int = 80, mode: str = "RGB") -> Image.Image:
    """A red corner (top left), a blue corner (bottom right), a gradient between."""
    gradient = Image.linear_gradient("L").resize((width, height))
    image = Image.merge("RGB", (gradient, gradient.transpose(Image.Transpose.FLIP_TOP_BOTTOM), gradient))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 4, height // 4), fill=(255, 0, 0))
    draw.rectangle((width - width // 4, height - height // 4, width, height), fill=(0, 0, 255))
    return image.convert(mode)


def noise(width: int, height: int) -> Image.Image:
    """A picture that compresses badly."""
    return Image.effect_noise((width, height), 90).convert("RGB")


def encoded(image: Image.Image, form: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def turned(orientation: int, width: int = 120, height: int = 80) -> bytes:
    """A JPEG whose EXIF says how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(drawn(width, height), exif=exif)


def opened(body: bytes | None) -> Image.Image:
    assert body is not None
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def png_header(width: int, height: int, bits: int = 8) -> bytes:
    """A PNG that declares a size and holds a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def sound(seconds: float, rate: int = 8000) -> bytes:
    """A WAV of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"\0\0" * int(seconds * rate))
    return file.getvalue()


def local(path: Path, ref: str | None = None) -> Media:
    """A picture in a local file, written in the manifest as `ref` (default: its absolute path)."""
    return Media(kind="image", ref=str(path) if ref is None else ref, path=str(path))


def inline(body: bytes) -> Media:
    return Media(kind="image", ref="data:,", data=body)
