"""Tells from the header of a picture what must change to keep a model's limits, and to which size it shrinks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.media.pdf import DPI
from pipeline.media.probe import Facts
from pipeline.media.render import Truncated
from pipeline.providers.image_tokens import patches, within
from pipeline.types import MediaLimits

PAGES = "Local.Pages"
"""The fault code for a document of several pages where one picture is expected."""


class FitOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a job wants its pictures fitted.

    `resize` "off" changes nothing, and refuses a picture beyond the limits. `upright`: turns pictures by their EXIF
    orientation even if nothing else must change (for reading text, and for positions). `truncated` "send" also accepts
    pictures that are cut off at their end. `dpi`: dots per inch at which the page of a PDF is drawn.
    """

    resize: Literal["fit", "off"] = "fit"
    upright: bool = False
    truncated: Truncated = "refuse"
    dpi: int = DPI


USUAL = FitOptions()
"""The options of a job that sets none of them."""


def several_pages(name: str, pages: int) -> Fault:
    """Returns the fault (code PAGES) for a document where one picture is expected."""
    way = "ocr reads such a file when it is the row's only picture, ask takes its pages as pictures"
    return Fault("rejected", PAGES, f"{name}: {pages} pages, and one picture is expected here; {way}")


def page_limits(limits: MediaLimits, options: FitOptions) -> MediaLimits:
    """Returns the limits for a page, which is always written anew. `resize` "off" removes `useful_pixels`."""
    return limits if options.resize == "fit" else msgspec.structs.replace(limits, useful_pixels=None)


def need(
    found: Facts, size: int, name: str, limits: MediaLimits, options: FitOptions
) -> Literal["nothing", "useful", "all"]:
    """Tells from the header how a picture of `size` bytes must change.

    "nothing": no change. "useful": a downscale that only saves bytes. "all": the picture must be written anew.
    Raises Fault if the header alone shows that the picture is refused.
    """
    _check_shape(found, name, limits)
    beyond = next(_beyond(size, found, name, limits), None)
    if options.resize == "off":
        if beyond is not None:
            raise beyond
        return "nothing"
    turned = options.upright and found.orientation != 1
    if (
        beyond
        or exceeds(found.width, found.height, limits)
        or found.mode == "CMYK"
        or found.bits > 8
        or found.animated
        or turned
    ):
        return "all"
    useful = limits.useful_pixels is not None and found.width * found.height > limits.useful_pixels
    return "useful" if useful else "nothing"


def _check_shape(found: Facts, name: str, limits: MediaLimits) -> None:
    """Raises Fault if a side is too short or the picture is too long for its width.

    No fitting repairs these: enlarging invents pixels, and cropping or padding changes the picture.
    """
    short, long = sorted((found.width, found.height))
    if limits.min_side is not None and short < limits.min_side:
        raise refusal("TooSmall", f"{name}: {shown(found)}; the model takes sides of at least {limits.min_side} pixels")
    if limits.max_ratio is not None and long > short * limits.max_ratio:
        raise refusal("Ratio", f"{name}: {shown(found)}, {long / short:.1f}:1; the model takes {limits.max_ratio:g}:1")


def _beyond(size: int, found: Facts, name: str, limits: MediaLimits) -> Iterator[Fault]:
    """Yields a fault for each limit that the picture exceeds, and that a picture written anew can keep."""
    if limits.formats is not None and found.format not in limits.formats:
        taken = f"the model takes {', '.join(limits.formats)}"
        more = "if the model takes it, list it in media.formats under [models]"
        yield refusal("Format", f"{name}: {found.format}; {taken}; {more}")
    pixels = found.width * found.height
    if limits.max_pixels is not None and pixels > limits.max_pixels:
        yield refusal(
            "TooManyPixels",
            f"{name}: {shown(found)} = {pixels:,} pixels; the model takes at most {limits.max_pixels:,}",
        )
    if limits.max_side is not None and max(found.width, found.height) > limits.max_side:
        yield refusal("TooLongSide", f"{name}: {shown(found)}; the model takes sides up to {limits.max_side} pixels")
    if limits.max_bytes is not None and size > limits.max_bytes:
        yield refusal("TooLarge", f"{name}: {size:,} bytes; the model takes at most {limits.max_bytes:,}")
    if limits.max_encoded_bytes is not None and encoded_size(size) > limits.max_encoded_bytes:
        encoded = f"{encoded_size(size):,} bytes as base64"
        yield refusal("TooLarge", f"{name}: {encoded}; the model takes at most {limits.max_encoded_bytes:,}")


def encoded_size(size: int) -> int:
    """Returns the bytes of the base64 form, with padding, of `size` bytes."""
    return 4 * math.ceil(size / 3)


def exceeds(width: int, height: int, limits: MediaLimits) -> bool:
    """Tells whether a picture of this size has more tokens than `max_patches`."""
    if limits.patch is None or limits.max_patches is None:
        return False
    return patches((width, height), limits.patch) > limits.max_patches


def scaled(width: int, height: int, limits: MediaLimits) -> tuple[int, int]:
    """Returns the largest (width, height) of about the same shape within `max_pixels`, `useful_pixels`, `max_side`,
    `max_patches`."""
    if exceeds(width, height, limits) and limits.patch and limits.max_patches:
        width, height = within(width, height, limits.patch, limits.max_patches)
    areas = [most for most in (limits.max_pixels, limits.useful_pixels) if most is not None]
    factor = min([1.0, *(math.sqrt(most / (width * height)) for most in areas)])
    if limits.max_side is not None:
        factor = min(factor, limits.max_side / max(width, height))
    if factor >= 1:
        return width, height
    width, height = shrunk(width, height, factor, limits)
    longest = max(1, min([max(width, height), *(most // min(width, height) for most in areas)]))
    return min(width, longest), min(height, longest)  # changes only a line, whose short side stays at 1 pixel


def shrunk(width: int, height: int, factor: float, limits: MediaLimits) -> tuple[int, int]:
    """Returns both sides times `factor`, rounded down so that the area keeps to its bound; at least 1 pixel each.

    If rounding makes the long side too long for `max_ratio`, the long side loses a pixel or two.
    """
    width, height = max(1, int(width * factor)), max(1, int(height * factor))
    if limits.max_ratio is not None:
        longest = max(1, int(min(width, height) * limits.max_ratio))
        width, height = min(width, longest), min(height, longest)
    return width, height


def shown(found: Facts) -> str:
    """Returns the size of a picture for a message."""
    return f"{found.width}×{found.height}"
