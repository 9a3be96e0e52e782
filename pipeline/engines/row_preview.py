"""What a row will ask, told from the headers of its pictures: for plans. Nothing is decoded, uploaded or sent."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.engines.conversation import continued
from pipeline.engines.media import media_of, replaced
from pipeline.engines.setup import Setup
from pipeline.engines.videos import blank, most_frames, to_be_cut, with_frames
from pipeline.errors import Fault
from pipeline.manifest.frames_of_video import FrameList
from pipeline.manifest.preview import preview
from pipeline.manifest.refs import public
from pipeline.manifest.row_media import listed
from pipeline.providers.checks import input_fits
from pipeline.types import Loaded, Media, Request, Row


def asked_for(row: Row, prepared: Setup, root: str) -> Request:
    """The row's request with the sizes of what would be sent. Blocking. Raises Fault for what would be refused.

    The frames of a video of which frames are taken here are as many as may be taken, of unknown size.
    """
    if row.problem is not None:
        raise Fault("rejected", f"Local.{row.problem.code.removeprefix('Local.')}", row.problem.message)
    request = prepared.ask(listed(row))
    cut = to_be_cut(request, prepared)
    taken: dict[Media | Loaded, FrameList] = {
        video: blank(video, prepared, most_frames(prepared, options)) for video, options in cut.items()
    }
    request = with_frames(request, taken, prepared)
    prepared.provider.check(request, prepared.model, prepared.endpoint)
    seen: dict[Media | Loaded, Loaded] = {}
    for media in media_of(request):
        if isinstance(media, Media) and media not in seen:
            seen[media] = _seen(media, request, prepared, root)
    request = replaced(request, lambda found: seen.get(found, found))
    input_fits(request, prepared.model)
    return request


def questions(request: Request, answer: int) -> Iterator[Request]:
    """The requests that a row's questions become, if each answer before them has `answer` characters."""
    for asked in range(1 + len(request.follow_ups)):
        yield continued(request, ["x" * answer] * asked)


def _seen(media: Media, request: Request, prepared: Setup, root: str) -> Loaded:
    size = None
    if media.kind == "image":
        limits = prepared.media_limits(request.parameters)["image"]
        resize = prepared.spec.job.media.resize
        size = preview(media, limits, resize=resize, confine=root, upright=prepared.upright)
    width, height = size or (None, None)
    return Loaded(kind=media.kind, source=public(media), url=media.url or "", width=width, height=height)
