"""Documents of a request: for ask their pages are pictures of one question, for ocr each page is asked by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from pipeline.errors import refusal
from pipeline.media.documents import Document
from pipeline.providers.body import all_media
from pipeline.types import Image, Loaded, Media, Part, Request

if TYPE_CHECKING:
    from pipeline.run.context import JobContext


def takes_pages(request: Request, media: Media) -> bool:
    """Whether a document may stand where `media` stands: as a picture of a question, or as the only one to be read."""
    if request.task == "ocr":
        return not request.follow_ups and all_media(request) == [media]
    return request.task == "ask" and any(
        isinstance(part, Image) and part.media == media for turn in request.turns for part in turn.parts
    )


def check_count(document: Document, context: JobContext) -> None:
    """Raises Fault (`Local.TooManyPages`) for more pages than the job or the model takes."""
    job, model, pages = context.spec.job, context.model, document.pages
    if pages > job.media.max_pages:
        raise refusal("TooManyPages", f"{document.name}: {pages} pages; media.max_pages allows {job.media.max_pages}")
    if job.task == "ask" and model.max_images is not None and pages > model.max_images:
        raise refusal("TooManyPages", f"{document.name}: {pages} pages; {model.name} takes {model.max_images} pictures")


def with_pages(request: Request, pages: Mapping[Media | Loaded, tuple[Loaded, ...]]) -> Request:
    """The request with each document of `pages` replaced by its pages, in order."""
    if not pages:
        return request

    def placed(part: Part) -> tuple[Part, ...]:
        if not isinstance(part, Image) or part.media not in pages:
            return (part,)
        return tuple(Image(page, part.options) for page in pages[part.media])

    turns = tuple(
        msgspec.structs.replace(turn, parts=tuple(new for part in turn.parts for new in placed(part)))
        for turn in request.turns
    )
    return msgspec.structs.replace(request, turns=turns)
