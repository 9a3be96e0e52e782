"""Fits a picture to a model's limits: keeps it unchanged if it fits, else downscales, re-encodes or refuses it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from pipeline.errors import refusal
from pipeline.media import render
from pipeline.media.formats import is_complete_file
from pipeline.media.limits import (
    FitOptions,
    encoded_size,
    need,
    page_limits,
    scaled,
    several_pages,
    shown,
    shrunk,
)
from pipeline.media.probe import Facts, facts, open_image
from pipeline.media.render import Truncated
from pipeline.types import MediaLimits

if TYPE_CHECKING:
    from PIL.Image import Image

# JPEG qualities, tried in turn until the bytes fit. Below 60, JPEG's blocks show, and fewer pixels look better.
_QUALITIES = (92, 85, 75, 60)

LEAST_COMPRESSED = 65_536
"""An uncompressed PNG of more bytes than this is worth compressing."""

# zlib takes about 150 ms a megapixel. Above this size, a lossless copy takes too long and is unlikely to fit.
_LOSSLESS_PIXELS = 4_000_000


class Fitted(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes to send, with their format.

    `width` and `height` are of the sent picture, `original_*` of the original. All sizes are in pixels, with the EXIF
    orientation applied. `changed` says in words what was done; it is None for the untouched original.
    """

    body: bytes
    format: str
    width: int
    height: int
    original_width: int
    original_height: int
    changed: str | None = None


def fit(body: bytes, name: str, limits: MediaLimits, options: FitOptions) -> Fitted:
    """Returns the picture as it may be sent.

    `resize` "fit" writes these pictures anew: a format that the model does not take; too many bytes, pixels or tokens
    (`max_patches`), or too long a side; CMYK and 16-bit pictures, which readers often turn into wrong colours or plain
    white; animations (only the first frame is kept); with `upright`, pictures that need turning. It also writes anew
    pictures with more pixels than the service keeps (`useful_pixels`) and large uncompressed PNG, if the new file has
    fewer bytes. A picture that is written anew is upright, in sRGB, and without metadata.
    Raises Fault: EmptyFile, NotAPicture, MissingExtra, TruncatedPicture, DamagedPicture, Pages, TooManyPixels,
    TooSmall, Ratio, Format, TooLarge, TooLongSide (codes `Local.…`).
    """
    found = facts(open_image(body, name))
    if found.pages > 1:
        raise several_pages(name, found.pages)
    needed = need(found, len(body), name, limits, options)  # before decoding, as a plan does
    if needed != "all" and is_complete_file(body, found.format) is not True:
        render.verify(body, name, options.truncated)
    if needed == "nothing" and options.resize == "fit" and found.format == "PNG" and _is_uncompressed(body):
        needed = "useful"
    if needed == "nothing":
        return _as_is(body, found)
    fitted = _remade(body, found, name, limits, options.truncated)
    if needed == "useful" and len(fitted.body) >= len(body):
        return _as_is(body, found)  # no bytes are saved: the service can downscale it
    return fitted


def fit_frame(body: bytes, name: str, limits: MediaLimits, options: FitOptions, frame: int) -> Fitted:
    """Does the same as `fit` for one directory of a TIFF (`frame` counts from 0). Always writes it anew, upright."""
    image = open_image(body, name)
    try:
        image.seek(frame)
    except Exception as error:  # a decoder may raise nearly anything on hostile bytes
        raise refusal("DamagedPicture", f"{name}: the page cannot be read ({error})") from None
    found, limits = facts(image), page_limits(limits, options)
    need(found, 0, name, msgspec.structs.replace(limits, formats=None), options)
    size = scaled(found.upright_width, found.upright_height, limits)
    return _written(render.decoded(body, name, found, size, options.truncated, frame), found, name, limits)


def fit_page(image: Image, name: str, limits: MediaLimits, options: FitOptions) -> Fitted:
    """Does the same as `fit` for the picture of a page that was drawn here, in RGB. Always writes it anew."""
    found, limits = drawn_facts(*image.size), page_limits(limits, options)
    need(found, 0, name, msgspec.structs.replace(limits, formats=None), options)
    return _written(render.drawn(image, found), found, name, limits)


def drawn_facts(width: int, height: int) -> Facts:
    """Returns the facts of a page that was drawn here. Sizes are in pixels."""
    return Facts(format="PDF", width=width, height=height, orientation=1, mode="RGB", bits=8, animated=False)


def _is_uncompressed(body: bytes) -> bool:
    """Tells whether a large PNG stores its pixels without compression (RFC 1951 §3.2.4).

    A PNG that is made of a Python picture stores them so.
    """
    place = body.find(b"IDAT", 0, LEAST_COMPRESSED) if len(body) > LEAST_COMPRESSED else -1
    return place > 0 and body[place + 6] & 0b110 == 0


def _as_is(body: bytes, found: Facts) -> Fitted:
    width, height = found.upright_width, found.upright_height
    return Fitted(
        body=body, format=found.format, width=width, height=height, original_width=width, original_height=height
    )


def _remade(body: bytes, found: Facts, name: str, limits: MediaLimits, truncated: Truncated) -> Fitted:
    size = scaled(found.upright_width, found.upright_height, limits)
    return _written(render.decoded(body, name, found, size, truncated), found, name, limits, len(body))


def _written(image: render.Canvas, found: Facts, name: str, limits: MediaLimits, original: int | None = None) -> Fitted:
    """Returns the picture, encoded within the limits. `original`: the bytes of the original file, for a message."""
    if limits.formats is not None and not set(limits.formats) & set(render.WRITABLE):
        taken = ", ".join(limits.formats)
        raise refusal("Format", f"{name}: {found.format}; the model takes {taken}, none of which can be written")
    width, height = scaled(found.upright_width, found.upright_height, limits)
    while min(width, height) >= (limits.min_side or 1):
        image.resize(width, height)
        smallest = None
        for form, quality in _plans(found, image, limits):
            written = image.encode(form, quality)
            if written is not None and _bytes_fit(len(written), limits):
                return Fitted(
                    body=written,
                    format=form,
                    width=width,
                    height=height,
                    original_width=found.upright_width,
                    original_height=found.upright_height,
                    changed=image.changes(form),
                )
            smallest = len(written) if written is not None else smallest
        before = width, height
        width, height = shrunk(width, height, _step(smallest, limits), limits)
        if (width, height) == before:
            break
    size = "" if original is None else f", {original:,} bytes"
    raise refusal("TooLarge", f"{name}: {shown(found)}{size}; it cannot be made to fit {_said(limits)}")


def _step(size: int | None, limits: MediaLimits) -> float:
    """Returns the factor for the next, smaller sides. Bytes grow about with the area, so one step is usually enough."""
    bounds = [limits.max_bytes, None if limits.max_encoded_bytes is None else limits.max_encoded_bytes * 3 // 4]
    most = min((bound for bound in bounds if bound is not None), default=None)
    if size is None or most is None:
        return 0.8
    return min(0.9, max(0.2, 0.95 * math.sqrt(most / size)))


def _plans(found: Facts, image: render.Canvas, limits: MediaLimits) -> Iterator[tuple[str, int]]:
    """Yields (format, quality) in the order in which they are tried.

    A lossless format comes first for a PNG or GIF, a palette or black-and-white picture, and a transparent picture, up
    to _LOSSLESS_PIXELS. If the model takes only lossless formats, the lossless format is the only one.
    """
    taken = [form for form in render.WRITABLE if limits.formats is None or form in limits.formats]
    drawn = found.format in ("PNG", "GIF") or found.mode in ("1", "P") or image.transparent
    lossless = [form for form in taken if form not in render.LOSSY]
    if lossless and (drawn or len(lossless) == len(taken)) and (image.pixels <= _LOSSLESS_PIXELS or lossless == taken):
        yield lossless[0], 100
    lossy = next((form for form in taken if form in render.LOSSY), None)
    if lossy is not None:
        yield from ((lossy, quality) for quality in _QUALITIES)


def _bytes_fit(size: int, limits: MediaLimits) -> bool:
    if limits.max_bytes is not None and size > limits.max_bytes:
        return False
    return limits.max_encoded_bytes is None or encoded_size(size) <= limits.max_encoded_bytes


def _said(limits: MediaLimits) -> str:
    bounds = {
        "pixels": limits.max_pixels,
        "pixels a side at least": limits.min_side,
        "bytes": limits.max_bytes,
        "bytes as base64": limits.max_encoded_bytes,
    }
    return ", ".join(f"{bound:,} {unit}" for unit, bound in bounds.items() if bound is not None)
