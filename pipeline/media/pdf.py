"""Reads PDF files: counts pages, gives their sizes, and draws a page as a picture. Only this module uses pypdfium2."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.errors import refusal
from pipeline.machine import pass_on

if TYPE_CHECKING:
    from PIL.Image import Image

DPI = 150
"""Dots per inch of a page, unless the job sets another number. Letters of 8 points are then 17 pixels high."""

MOST_PIXELS = 24_000_000
"""The most pixels of a drawn page. A larger page is drawn with fewer dots per inch: a poster of one square metre at 150
dpi has 35 million pixels."""

_lock = threading.Lock()
"""Lets only one thread at a time use PDFium (pypdfium2's README, "Thread incompatibility")."""


def is_pdf(body: bytes) -> bool:
    """Tells whether bytes begin like a PDF file."""
    return body[:1024].lstrip(b"\x00\t\n\x0c\r \xef\xbb\xbf").startswith(b"%PDF-")


def page_sizes(body: bytes, name: str, dpi: int) -> tuple[tuple[int, int], ...]:
    """Returns (width, height) in pixels of each page, as it would be drawn.

    Raises Fault: MissingExtra, PasswordNeeded, DamagedPicture (codes `Local.…`).
    """
    with _opened(body, name) as document:
        return tuple(_size(document.get_page_size(index), dpi) for index in range(len(document)))


def count_pages(body: bytes, name: str) -> int:
    """Returns the number of pages. Raises the same errors as `page_sizes`."""
    with _opened(body, name) as document:
        return len(document)


def drawn_page(body: bytes, name: str, index: int, dpi: int) -> Image:
    """Draws a page (`index` counts from 0) on white, with the values that are filled into its forms.

    Raises the same errors as `page_sizes`.
    """
    with _opened(body, name) as document:
        document.init_forms()
        page = document[index]
        image: Image = page.render(scale=_scale(page.get_size(), dpi)).to_pil().convert("RGB")
        return image


@contextmanager
def _opened(body: bytes, name: str) -> Iterator[Any]:
    try:
        import pypdfium2
    except ImportError as error:
        pass_on(error)
        why = "a PDF is read with pypdfium2; install it with: pip install 'multimodal-batch[pdf]'"
        raise refusal("MissingExtra", f"{name}: {why}") from None
    with _lock:
        document = None
        try:
            document = pypdfium2.PdfDocument(body)
            yield document
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise refusal("PasswordNeeded", f"{name}: the PDF asks for a password") from None
            raise refusal("DamagedPicture", f"{name}: the PDF cannot be read ({error})") from None
        finally:
            if document is not None:
                document.close()


def _scale(points: tuple[float, float], dpi: int) -> float:
    """Returns the pixels per point at which a page of (width, height) points is drawn."""
    width, height = points
    return min(dpi / 72, math.sqrt(MOST_PIXELS / max(width * height, 1e-6)))


def _size(points: tuple[float, float], dpi: int) -> tuple[int, int]:
    """Returns (width, height) in pixels of a page. Rounds up, as PDFium does."""
    width, height = points
    scale = _scale(points, dpi)
    return max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale))
