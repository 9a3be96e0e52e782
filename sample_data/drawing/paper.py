"""A page to write on that remembers what was written, and what happens to pages: tilt, noise, bad light."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = Path("/usr/share/fonts")
DEJAVU = FONTS / "truetype" / "dejavu"
NOTO = FONTS / "opentype" / "noto"
FACES = {
    "sans": (DEJAVU / "DejaVuSans.ttf", 0),
    "bold": (DEJAVU / "DejaVuSans-Bold.ttf", 0),
    "serif": (DEJAVU / "DejaVuSerif.ttf", 0),
    "serif bold": (DEJAVU / "DejaVuSerif-Bold.ttf", 0),
    "mono": (DEJAVU / "DejaVuSansMono.ttf", 0),
    "mono bold": (DEJAVU / "DejaVuSansMono-Bold.ttf", 0),
    # the third face of the Noto CJK collections is Simplified Chinese
    "hei": (NOTO / "NotoSansCJK-Regular.ttc", 2),
    "hei bold": (NOTO / "NotoSansCJK-Bold.ttc", 2),
    "song": (NOTO / "NotoSerifCJK-Regular.ttc", 2),
    "song bold": (NOTO / "NotoSerifCJK-Bold.ttc", 2),
}
ANCHORS = {"left": "ls", "centre": "ms", "right": "rs"}

Colour = str | tuple[int, int, int]


@cache
def font(face: str, size: int) -> ImageFont.FreeTypeFont:
    path, index = FACES[face]
    return ImageFont.truetype(str(path), size, index=index)


class Page:
    """A picture being drawn; `lines` is its true text, one entry a line as a person reads it."""

    def __init__(self, width: int, height: int, colour: Colour = "white", ink: Colour = (25, 25, 25)) -> None:
        self.picture = Image.new("RGB", (width, height), colour)
        self.draw = ImageDraw.Draw(self.picture)
        self.ink = ink
        self.lines: list[str] = []

    def put(self, x: float, y: float, text: str, face: str, size: int, **options: Any) -> None:
        """Draw `text` with its baseline at `y` without noting it; options `at` (see ANCHORS) and `ink`."""
        anchor = ANCHORS[options.get("at", "left")]
        self.draw.text((x, y), text, options.get("ink", self.ink), font(face, size), anchor=anchor)

    def line(self, x: float, y: float, text: str, face: str, size: int, **options: Any) -> None:
        """One line of text."""
        self.put(x, y, text, face, size, **options)
        self.lines.append(text)

    def cells(self, y: float, cells: list[tuple[float, str, str]], face: str, size: int, **options: Any) -> None:
        """One line of several pieces `(x, text, at)`, read from left to right."""
        for x, text, at in cells:
            self.put(x, y, text, face, size, at=at, **options)
        self.lines.append(" ".join(text for _, text, _ in cells))

    def rule(self, y: float, left: float, right: float, width: int = 2, dash: int = 0) -> None:
        """A horizontal rule, broken into dashes of `dash` pixels where that is given."""
        if not dash:
            self.draw.line((left, y, right, y), self.ink, width)
            return
        for x in np.arange(left, right, dash * 1.8):
            self.draw.line((float(x), y, float(min(x + dash, right)), y), self.ink, width)


def tilt(picture: Image.Image, degrees: float, desk: Colour) -> Image.Image:
    """The sheet lies turned by `degrees` (counter-clockwise) on a desk of that colour, nothing cut off."""
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=desk)


def noise(picture: Image.Image, sigma: float, seed: int) -> Image.Image:
    """Gaussian sensor noise, `sigma` in grey levels."""
    rng = np.random.default_rng(seed)
    pixels = np.asarray(picture, dtype=np.float32)
    return Image.fromarray(np.clip(pixels + rng.normal(0, sigma, pixels.shape), 0, 255).astype(np.uint8))


def shade(picture: Image.Image, dark: float) -> Image.Image:
    """Light from the upper left: the opposite corner keeps the share `dark` of it."""
    pixels = np.asarray(picture, dtype=np.float32)
    height, width = pixels.shape[:2]
    slope = (np.linspace(0, 1, height)[:, None] + np.linspace(0, 1, width)[None, :]) / 2
    return Image.fromarray((pixels * (1 - (1 - dark) * slope)[..., None]).astype(np.uint8))


def blur(picture: Image.Image, radius: float) -> Image.Image:
    """Slightly out of focus."""
    return picture.filter(ImageFilter.GaussianBlur(radius))
