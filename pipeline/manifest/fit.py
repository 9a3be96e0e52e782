"""Fits a picture to a model's limits: sent as it is where that will do, else downscaled or re-encoded, or refused."""

from __future__ import annotations

from typing import Literal

import msgspec

from pipeline.errors import refusal
from pipeline.manifest.probe import facts, open_picture
from pipeline.manifest.whole import has_end
from pipeline.types import MediaLimits


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes to send with their format and size; `original_*` with the EXIF orientation applied."""

    body: bytes
    format: str
    width: int
    height: int
    original_width: int
    original_height: int
    changed: str | None = None


def fit(body: bytes, name: str, limits: MediaLimits, *, resize: Literal["fit", "off"]) -> Fitted:
    picture = open_picture(body, name)
    found = facts(picture)
    if has_end(body, found.format) is False:
        raise refusal("TruncatedPicture", f"{name}: the {found.format} ends before its end marker")
    return Fitted(
        body=body,
        format=found.format,
        width=found.width,
        height=found.height,
        original_width=found.upright_width,
        original_height=found.upright_height,
    )
