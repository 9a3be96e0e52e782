"""Pictures that arrive broken or in an unusual form. The first five cannot be sent, the others can be repaired."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

BOMB_SIDE = 60_000


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _bomb() -> bytes:
    """A PNG that declares 60,000 × 60,000 pixels of 24 bits (10.8 GB) and holds the first 6 MB of them, packed."""
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(6_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def write_broken(folder: Path, photos: Path) -> None:
    """What must become a failure."""
    whole = (photos / "coffee.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) * 2 // 5])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text_named.png").write_text("This is a line of text and not a picture.\n", encoding="utf-8")
    Image.new("RGB", (1, 1), (200, 30, 30)).save(folder / "one_pixel.png")
    (folder / "bomb.png").write_bytes(_bomb())


def write_unusual(folder: Path, photos: Path) -> None:
    """What is a picture all the same."""
    with Image.open(photos / "coffee.jpg") as coffee, Image.open(photos / "chelsea.jpg") as cat:
        coffee.convert("CMYK").save(folder / "cmyk.jpg", quality=80)
        # stored lying on its side; tag 0x0112 = 6 says: turn by 90 degrees clockwise to show
        exif = Image.Exif()
        exif[0x0112] = 6
        cat.transpose(Image.Transpose.ROTATE_90).save(folder / "rotated.jpg", quality=85, exif=exif)
        grey = np.asarray(cat.convert("L").resize((300, 200)), dtype=np.uint16) * 257
        Image.fromarray(grey).save(folder / "sixteen_bit.png", optimize=True)
        steps = [cat.crop((x, 0, x + 300, 300)).resize((200, 200)) for x in range(0, 150, 30)]
    palette = [step.quantize(64) for step in steps]
    palette[0].save(folder / "animated.gif", save_all=True, append_images=palette[1:], duration=200, loop=0)
    steps[0].save(folder / "animated.webp", save_all=True, append_images=steps[1:], duration=200, loop=0, quality=70)


def write_bad(folder: Path, photos: Path) -> None:
    """All of them, made from two of the photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    write_broken(folder, photos)
    write_unusual(folder, photos)
