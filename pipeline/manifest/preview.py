"""What loading a picture would send, told from its header alone: for plans and token counts."""

from __future__ import annotations

from typing import Literal

from pipeline.manifest.files import file_size
from pipeline.manifest.fit import need, scaled
from pipeline.manifest.probe import probe
from pipeline.manifest.refs import public
from pipeline.types import Media, MediaLimits


def preview(
    media: Media,
    limits: MediaLimits,
    *,
    resize: Literal["fit", "off"] = "fit",
    confine: str | None = None,
    upright: bool = False,
) -> tuple[int, int] | None:
    """(width, height) in pixels of what would be sent; None for a URL, which is not here.

    Nothing is decoded. Raises Fault where the header alone shows that `load` would refuse. What only decoding shows is
    not seen: damage, and how many pixels a bound on bytes will cost.
    """
    if media.url is not None:
        return None
    found = probe(media, confine=confine)
    size = len(media.data) if media.data is not None else file_size(media)
    needed = need(found, size, public(media), limits, resize=resize, upright=upright)
    width, height = found.upright_width, found.upright_height
    return (width, height) if needed == "nothing" else scaled(width, height, limits)
