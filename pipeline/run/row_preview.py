"""Previews the request of a row from the headers of its pictures, for plans. Decodes, uploads and sends nothing."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pipeline.errors import Fault
from pipeline.manifest.row_media import expand_frames
from pipeline.media.limits import PAGES
from pipeline.media.load import preview, preview_pages, previewed_document
from pipeline.media.redact import public
from pipeline.media.video_frames import FrameList
from pipeline.providers.body import all_media
from pipeline.providers.checks import input_fits
from pipeline.run.context import JobContext
from pipeline.run.request_media import (
    blank,
    check_count,
    most_frames,
    replaced,
    takes_pages,
    to_be_cut,
    with_frames,
    with_pages,
)
from pipeline.run.work_item import continued
from pipeline.tasks import facts
from pipeline.types import Loaded, Media, Request, Row


def asked_for(row: Row, context: JobContext, root: str) -> Request:
    """Returns the row's request with the sizes of the pictures that would be sent.

    If frames are taken here from a video, the request has as many frames as may be taken, of unknown size. Blocking.
    Raises Fault for a row that would be refused.
    """
    if row.problem is not None:
        raise Fault("rejected", f"Local.{row.problem.code.removeprefix('Local.')}", row.problem.message)
    request = context.ask(expand_frames(row))
    cut = to_be_cut(request, context)
    taken: dict[Media | Loaded, FrameList] = {
        video: blank(video, context, most_frames(context, options)) for video, options in cut.items()
    }
    request = with_frames(request, taken, context)
    context.provider.check(request, context.model, context.endpoint)
    seen: dict[Media | Loaded, tuple[Loaded, ...]] = {}
    for media in all_media(request):
        if isinstance(media, Media) and media not in seen:
            seen[media] = _seen(media, request, context, root)
    pages = next((found for found in seen.values() if len(found) > 1), ())
    if pages and facts(request.task).pages == "each":
        request = msgspec.structs.replace(replaced(request, lambda _: pages[0]), pages=pages)
    else:
        request = with_pages(request, {media: found for media, found in seen.items() if len(found) > 1})
        request = replaced(request, lambda found: seen[found][0] if found in seen else found)
    for question in questions(request, 0) if pages else ():
        input_fits(question, context.model)
    if not pages:
        input_fits(request, context.model)
    return request


def questions(request: Request, answer: int) -> Iterator[Request]:
    """Yields the request of each question or page of a row. Each earlier answer in a request has `answer`
    characters."""
    if request.pages:
        alone = msgspec.structs.replace(request, pages=())
        for page in request.pages:
            yield replaced(alone, lambda _, page=page: page)  # type: ignore[misc]
        return
    for asked in range(1 + len(request.follow_ups)):
        yield continued(request, ["x" * answer] * asked)


def _seen(media: Media, request: Request, context: JobContext, root: str) -> tuple[Loaded, ...]:
    """Returns the media that would be sent for a medium: one medium, or the pages of a document."""
    size = None
    if media.kind == "image":
        limits = context.media_limits(request.parameters)["image"]
        options = context.fit_options
        try:
            size = preview(media, limits, options, confine=root)
        except Fault as fault:
            if fault.code != PAGES or not takes_pages(request, media):
                raise
            found = previewed_document(media, root, options.dpi)
            if found is None:  # the file changed in the meantime
                raise
            check_count(found, context)
            return tuple(preview_pages(found, limits, options))
    width, height = size or (None, None)
    return (Loaded(kind=media.kind, source=public(media), url=media.url or "", width=width, height=height),)
