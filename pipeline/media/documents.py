"""Documents: PDF files, and TIFF files with more than one page. Each page of a document is sent as a picture."""

from __future__ import annotations

import hashlib
import io

import msgspec

from pipeline.errors import refusal
from pipeline.media.fit import Fitted, drawn_facts, fit_frame, fit_page
from pipeline.media.limits import FitOptions, need, page_limits, scaled, several_pages
from pipeline.media.pdf import DPI, count_pages, drawn_page, is_pdf, page_sizes
from pipeline.media.probe import Facts, facts, open_image
from pipeline.media.tiff import page_frames
from pipeline.types import MediaLimits


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A file of pages. `frames`: the TIFF directories (counted from 0) that are pages; empty for a PDF."""

    name: str
    body: bytes
    sha256: str
    pages: int
    frames: tuple[int, ...] = ()
    dpi: int = DPI

    def __repr__(self) -> str:
        return f"Document({self.name}, {self.pages} pages)"


def document(body: bytes, name: str, dpi: int = DPI) -> Document | None:
    """Returns the document for a PDF, or for a TIFF of two or more pages; None for any other file.

    Raises the same errors as `pdf.page_sizes`.
    """
    sha256 = hashlib.sha256(body).hexdigest()
    if is_pdf(body):
        return Document(name=name, body=body, sha256=sha256, pages=count_pages(body, name), dpi=dpi)
    frames = page_frames(io.BytesIO(body))
    return Document(name=name, body=body, sha256=sha256, pages=len(frames), frames=frames) if len(frames) > 1 else None


def one_page(body: bytes, name: str, limits: MediaLimits, options: FitOptions) -> Fitted:
    """Returns the only page of a PDF as a picture.

    Raises Fault PAGES if the PDF has more pages, and the same errors as `fitted_page`.
    """
    pages = count_pages(body, name)
    if pages > 1:
        raise several_pages(name, pages)
    return fitted_page(Document(name=name, body=body, sha256="", pages=pages, dpi=options.dpi), 0, limits, options)


def fitted_page(document: Document, index: int, limits: MediaLimits, options: FitOptions) -> Fitted:
    """Returns a page (`index` counts from 0) as it may be sent, upright.

    Raises the same errors as `fit` and `pdf.drawn_page`.
    """
    name = page_name(document.name, index)
    if document.frames:
        return fit_frame(document.body, name, limits, options, document.frames[index])
    if not 0 <= index < document.pages:
        raise refusal("DamagedPicture", f"{document.name}: the PDF has no pages")
    return fit_page(drawn_page(document.body, document.name, index, document.dpi), name, limits, options)


def page_name(name: str, index: int) -> str:
    """Returns the name of a page in messages and as a source. The form is that of RFC 8118, which counts from 1."""
    return f"{name}#page={index + 1}"


def previewed(document: Document, limits: MediaLimits, options: FitOptions) -> list[tuple[int, int]]:
    """Returns (width, height) of each page as it would be sent, from headers alone. Raises Fault as `fit.need`."""
    found = []
    for index, page in enumerate(_facts(document)):
        any_form = msgspec.structs.replace(page_limits(limits, options), formats=None)
        needed = need(
            page, 0, page_name(document.name, index), any_form, msgspec.structs.replace(options, upright=True)
        )
        size = page.upright_width, page.upright_height
        found.append(size if needed == "nothing" else scaled(*size, limits))
    return found


def _facts(document: Document) -> list[Facts]:
    if not document.frames:
        sizes = page_sizes(document.body, document.name, document.dpi)
        return [drawn_facts(*size) for size in sizes]
    found = []
    for frame in document.frames:
        image = open_image(document.body, document.name)
        image.seek(frame)
        found.append(facts(image))
    return found
