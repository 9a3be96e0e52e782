"""Small WebP pictures of the media that results name, for pages that people look at. Nothing is fetched."""

from __future__ import annotations

import io
import mimetypes
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from pipeline.errors import refusal
from pipeline.media.files import file_size, read
from pipeline.media.pdf import DPI, drawn_page, is_pdf, page_sizes
from pipeline.media.probe import facts, open_image
from pipeline.media.refs import is_data, is_remote
from pipeline.media.render import Canvas, decoded, drawn
from pipeline.media.tiff import page_frames
from pipeline.types import Media, Member

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 100_000_000
"""A file with more bytes is not read for a thumbnail."""
MOST_PIXELS = 64_000_000
"""A picture with more pixels is not decoded for a thumbnail: as RGBA it would take more than 256 MB."""
QUALITY = 70
_PAGE = re.compile(r"#page=(\d{1,6})$")


class Thumbnails(msgspec.Struct, frozen=True, kw_only=True):
    """A picture in small. width, height: pixels of the original, upright. images: one WebP for each side asked for."""

    width: int
    height: int
    images: tuple[bytes, ...]


def thumbnails(source: str, sides: Sequence[int], dpi: int = DPI) -> Thumbnails:
    """Returns the picture of a result's `source` with each of `sides` (descending) as its longer side at most.

    source: an absolute path; `path#member` in an archive; `path#page=N`. dpi: at which the pages of a PDF are drawn for
    the model, so that width and height are the pixels of the results' polygons. Blocking. Raises Fault `Local.Remote`
    (a URL, which is never fetched), `Local.NotKept` (`data:`), `Local.Sound`, `Local.Video`, `Local.TooLarge`,
    `Local.MissingFile`, and what `media.files.read` and `media.render.decoded` raise.
    """
    if is_data(source):
        raise refusal("NotKept", "the picture stood in the manifest itself, and is not kept")
    if is_remote(source):
        raise refusal("Remote", "the picture is a URL; nothing is fetched")
    kind = (mimetypes.guess_type(source)[0] or "").partition("/")[0]
    if kind in ("audio", "video"):
        raise refusal("Sound" if kind == "audio" else "Video", f"{source}: {kind}, not a picture")
    media, page = _media(source)
    if file_size(media) > MOST_BYTES:
        raise refusal("TooLarge", f"{source}: more than {MOST_BYTES:,} bytes")
    body = read(media)
    if is_pdf(body):
        width, height, canvas = _pdf(body, source, page, sides[0], dpi)
    else:
        width, height, canvas = _picture(body, source, page, sides[0])
    return Thumbnails(width=width, height=height, images=tuple(_encoded(canvas, width, height, sides)))


def _encoded(canvas: Canvas, width: int, height: int, sides: Sequence[int]) -> Iterator[bytes]:
    for side in sides:
        canvas.resize(*_within(width, height, side))
        yield canvas.encode("WEBP", QUALITY) or b""


def _media(source: str) -> tuple[Media, int | None]:
    """Returns the file, or the member of an archive, and the number of the page, counted from 1."""
    page = None if os.path.isfile(source) else _PAGE.search(source)  # noqa: PTH113 - a text, as names may be no text
    path = source[: page.start()] if page else source
    archive, mark, member = path.partition("#")
    number = int(page[1]) if page else None
    if not mark or os.path.isfile(path):  # noqa: PTH113
        return Media(kind="image", ref=path, path=path), number
    return Media(kind="image", ref=path, path=archive, member=Member(name=member)), number


def _pdf(body: bytes, name: str, page: int | None, side: int, dpi: int) -> tuple[int, int, Canvas]:
    index = (page or 1) - 1
    sizes = page_sizes(body, name, dpi)
    if not 0 <= index < len(sizes):
        raise refusal("MissingPage", f"{name}: the PDF has {len(sizes)} pages")
    width, height = sizes[index]
    image = drawn_page(body, name, index, max(1, round(dpi * min(1.0, side / max(width, height)))))
    return width, height, drawn(image, facts(image))


def _picture(body: bytes, name: str, page: int | None, side: int) -> tuple[int, int, Canvas]:
    found = facts(open_image(body, name))
    if found.width * found.height > MOST_PIXELS:
        raise refusal("TooManyPixels", f"{name}: {found.width}×{found.height} is too large for a thumbnail")
    width, height = found.upright_width, found.upright_height
    frame = None
    if page is not None and found.format == "TIFF":
        frame = page_frames(io.BytesIO(body))[page - 1]
    return width, height, decoded(body, name, found, _within(width, height, side), "send", frame)


def _within(width: int, height: int, side: int) -> tuple[int, int]:
    """Returns the size with `side` as the longer side; never larger than it is."""
    factor = min(1.0, side / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))
