"""What loading a picture would send, told from its header alone: for plans and token counts."""

from __future__ import annotations

from typing import Literal

from pipeline.errors import Fault
from pipeline.media.documents import Document, document, page_name, previewed
from pipeline.media.files import file_size, read
from pipeline.media.fit import need, scaled, several_pages
from pipeline.media.pdf import DPI
from pipeline.media.probe import probe
from pipeline.media.redact import public
from pipeline.types import Loaded, Media, MediaLimits


def preview(
    media: Media,
    limits: MediaLimits,
    *,
    resize: Literal["fit", "off"] = "fit",
    confine: str | None = None,
    upright: bool = False,
    dpi: int = DPI,
) -> tuple[int, int] | None:
    """(width, height) in pixels of what would be sent; None for a URL, which is not here.

    Nothing is decoded. Raises Fault where the header alone shows that `load` would refuse. What only decoding shows is
    not seen: damage, and how many pixels a bound on bytes will cost.
    """
    if media.url is not None:
        return None
    try:
        found = probe(media, confine=confine)
    except Fault as fault:
        if fault.code != "Local.NotAPicture" or (document := previewed_document(media, confine, dpi)) is None:
            raise
        if document.pages > 1:
            raise several_pages(document.name, document.pages) from None
        return previewed(document, limits, resize)[0]
    if found.pages > 1:
        raise several_pages(public(media), found.pages)
    size = len(media.data) if media.data is not None else file_size(media)
    needed = need(found, size, public(media), limits, resize=resize, upright=upright)
    width, height = found.upright_width, found.upright_height
    return (width, height) if needed == "nothing" else scaled(width, height, limits)


def previewed_document(media: Media, confine: str | None, dpi: int) -> Document | None:
    """The document that a file is, None for another file. Raises Fault as `documents.document`."""
    return document(read(media, confine=confine), public(media), dpi)


def preview_pages(limits: MediaLimits, found: Document, resize: Literal["fit", "off"]) -> list[Loaded]:
    """The pages of a document as they would be sent, without bytes. Raises Fault as `preview`."""
    return [
        Loaded(kind="image", source=page_name(found.name, index), url="", width=width, height=height, page=index + 1)
        for index, (width, height) in enumerate(previewed(found, limits, resize))
    ]
