"""Near-equal pictures: copies in other sizes, qualities and brightness are found, other pictures are not."""

from __future__ import annotations

import io
import itertools
import random
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageEnhance

from pipeline.errors import Fault
from pipeline.media.similar import DISTANCE, groups, seen

PHOTOS = Path(__file__).parents[2] / "sample_data" / "photos"


def encoded(image: Image.Image, form: str = "JPEG", **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def copies(name: str) -> list[bytes]:
    image = Image.open(PHOTOS / name).convert("RGB")
    smaller = image.resize((image.width * 2 // 3, image.height * 2 // 3))
    bright = ImageEnhance.Brightness(image).enhance(1.05)
    turned = image.rotate(90, expand=True)  # and its EXIF orientation says how to turn it back
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(image, "PNG"),
        encoded(image, quality=40),
        encoded(smaller),
        encoded(bright, quality=90),
        encoded(turned, exif=exif, quality=90),
    ]


def page(seed: int) -> bytes:
    draw = random.Random(seed)
    image = Image.new("L", (800, 1100), 255)
    pen = ImageDraw.Draw(image)
    for line in range(60, 1040, 22):
        words = "".join(draw.choice("abcdefgh ijklm ") for _ in range(draw.randint(30, 110)))
        pen.text((60, line), words, fill=0)
    return encoded(image, "PNG")


def test_copies_are_grouped_and_other_photographs_are_not():
    bodies = [*copies("chelsea.jpg"), *copies("coffee.jpg"), (PHOTOS / "rocket.jpg").read_bytes()]
    assert groups([seen(body, "p") for body in bodies]) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_pages_of_different_text_are_not_grouped_though_their_hashes_are_near():
    pages = [seen(page(seed), "p") for seed in range(40)]
    pairs = itertools.combinations(pages, 2)
    assert any((one.bits ^ other.bits).bit_count() <= DISTANCE for one, other in pairs)
    assert groups(pages) == []
    assert groups([*pages, seen(page(3), "p")]) == [[3, 40]]


def test_plain_colours_are_grouped_by_their_level():
    plain = [Image.new("RGB", (64, 64), colour) for colour in ("white", "black", (254, 255, 255), (0, 2, 0))]
    transparent = Image.new("RGBA", (64, 64), (0, 0, 0, 0))  # shown on white
    assert groups([seen(encoded(image, "PNG"), "p") for image in (*plain, transparent)]) == [[0, 2, 4], [1, 3]]


@pytest.mark.parametrize(
    "body", [b"", b"no picture", b"\xff\xd8\xff\xe0nonsense", encoded(Image.new("L", (99, 99)))[:200]]
)
def test_a_bad_picture_is_a_fault(body):
    with pytest.raises(Fault):
        seen(body, "p")
