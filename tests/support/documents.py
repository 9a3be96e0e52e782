"""Files of several pages with words on them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageDraw, ImageFont


def written_page(words: str, width: int = 600, height: int = 200) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(image).text((40, 60), words, fill="black", font=ImageFont.load_default(size=60))
    return image


def pages_of(*words: str, form: str = "PDF", **options: Any) -> bytes:
    """A document with one page for each text."""
    images = [written_page(one) for one in words]
    file = io.BytesIO()
    images[0].save(file, form, save_all=True, append_images=images[1:], **options)
    return file.getvalue()
