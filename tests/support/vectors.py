"""Vectors of the embedded service, made without a server."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from support.offline import DATA

from pipeline.offline.models import embedding
from pipeline.offline.vectors import Item, piece

Array = np.ndarray[Any, Any]


def fused(*items: tuple[str, Any, float]) -> Array:
    """Returns the vector of (kind, content, factor)."""
    given = [Item(kind=kind, content=content, factor=factor, tokens=0) for kind, content, factor in items]
    return embedding.fuse([piece(item, None) for item in given])


def of_text(text: str) -> Array:
    return fused(("text", text, 1.0))


def of_picture(data: bytes) -> Array:
    return fused(("image", data, 1.0))


def of_sound(name: str) -> Array:
    return fused(("audio", (DATA / "sounds" / name).read_bytes(), 1.0))


@cache
def sample(name: str) -> Array:
    """Returns the vector of a sample picture, as `photos/coffee.jpg`."""
    return of_picture((DATA / name).read_bytes())


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=quality)
    return out.getvalue()


def place(query: Array, among: dict[str, Array], wanted: str) -> int:
    """Returns the place, from 1, of the best vector whose name contains `wanted`, by plain cosine."""
    ranked = sorted(among, key=lambda name: -float(among[name] @ query))
    return next(number for number, name in enumerate(ranked, 1) if wanted in name)
