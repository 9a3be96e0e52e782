"""The media of a request: replaces files by uploads, by frames of videos and by pages of documents."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import refusal
from pipeline.media.documents import Document
from pipeline.media.redact import public
from pipeline.media.video_frames import FrameList
from pipeline.providers import declared
from pipeline.providers.body import all_media, parts
from pipeline.providers.tokens import estimate
from pipeline.tasks import facts
from pipeline.types import EmbedItem, Image, Loaded, Media, Part, Request, Text, Video, VideoFile

if TYPE_CHECKING:
    from pipeline.run.context import JobContext

Upload = Callable[[Loaded], Awaitable[Loaded]]
Instead = Callable[[Media | Loaded], Media | Loaded]


async def uploaded(request: Request, upload: Upload) -> Request:
    """Returns the request with each medium that has bytes replaced by the result of `upload`. Raises Fault."""
    urls: dict[int, Loaded] = {}  # by object: hashing a medium would read all its bytes
    for media in all_media(request):
        if isinstance(media, Loaded) and media.body is not None and id(media) not in urls:
            urls[id(media)] = await upload(media)
    return replaced(request, lambda media: urls.get(id(media), media)) if urls else request


def request_without_bytes(request: Request) -> Request:
    """Returns the request without the bytes of its media. After encoding, the bytes would be held twice."""
    if not all_media(request):
        return request
    return replaced(request, lambda media: without_bytes(media) if isinstance(media, Loaded) else media)


def without_bytes(media: Loaded) -> Loaded:
    """Returns the medium without its bytes."""
    return media if media.body is None else msgspec.structs.replace(media, body=None)


def replaced(request: Request, instead: Instead) -> Request:
    """Returns the request with each medium replaced by the result of `instead` for this medium."""
    turns = tuple(
        msgspec.structs.replace(turn, parts=tuple(_part(part, instead) for part in turn.parts))
        if any(not isinstance(part, Text) for part in turn.parts)
        else turn
        for turn in request.turns
    )
    items = tuple(_item(item, instead) for item in request.items)
    return msgspec.structs.replace(request, turns=turns, items=items)


def _item(item: EmbedItem, instead: Instead) -> EmbedItem:
    part = _part(item.part, instead)
    assert not isinstance(part, Video)
    return msgspec.structs.replace(item, part=part)


def _part(part: Part, instead: Instead) -> Part:
    if isinstance(part, Text):
        return part
    if isinstance(part, Video):
        return msgspec.structs.replace(part, frames=tuple(instead(frame) for frame in part.frames))
    return type(part)(instead(part.media), part.options)


FRAMES = 16
"""Frames that are taken from a video if the job does not say how many: one every few seconds of a usual clip."""
LEAST_FRAMES = 4
"""The fewest frames that Qwen-VL takes as one video (PROTOCOLS.md §3.7)."""
LEAST_FPS, MOST_FPS = 0.1, 10.0
"""The rates of a frame list that Qwen-VL takes, in frames a second (PROTOCOLS.md §3.2). The frames of long videos lie
farther apart."""


def to_be_cut(request: Request, context: JobContext) -> dict[Media, Mapping[str, Any]]:
    """Returns the video files from which frames are taken here, with the options of their parts.

    If the job sets `media.frames`, frames are taken from all video files. Otherwise a file is sent unchanged if the
    model is known to take video files; a URL is also sent unchanged if nothing is known about the model. For an
    embedding, no frames are taken. Raises Fault (`Local.VideoUrl`) for a URL that would have to be loaded here while
    `media.fetch` leaves URLs to the service.
    """
    if not any(isinstance(part, VideoFile) for part in parts(request)):
        return {}
    found = {p.media: p.options for p in parts(request) if isinstance(p, VideoFile) and isinstance(p.media, Media)}
    return {media: options for media, options in found.items() if _must_be_cut(media, context)}


def with_frames(request: Request, taken: Mapping[Media | Loaded, FrameList], context: JobContext) -> Request:
    """Returns the request with frames in the place of the video files in `taken`.

    The frames are one video for a model that takes frame lists, else single pictures. If the request is longer than the
    model's input, leaves out frames, down to the fewest frames that the model takes.
    """
    if not taken:
        return request
    most = max(len(one.frames) for one in taken.values())
    while True:
        found = _placed(request, {media: _thinned(one, most) for media, one in taken.items()}, context)
        counted = estimate(found, context.model, upper=False)
        limit = context.model.input_limit
        if counted is None or limit is None or counted <= limit or most <= least_frames(context):
            return found
        most = max(least_frames(context), min(most - 1, most * limit // counted))


def most_frames(context: JobContext, options: Mapping[str, Any] = {}) -> int:
    """Returns how many frames are taken from one video at most. `options`: the options of the video's part; their
    `max_frames` may ask for fewer frames."""
    most = context.spec.job.media.frames or FRAMES
    limits = (
        options.get("max_frames"),
        context.model.frame_limits.max if takes_lists(context) else context.model.max_images,
    )
    return min([most, *(limit for limit in limits if isinstance(limit, int))])


def least_frames(context: JobContext) -> int:
    """Returns the fewest frames that the model takes for one video."""
    return context.model.frame_limits.min or LEAST_FRAMES if takes_lists(context) else 1


def blank(media: Media, context: JobContext, count: int | None = None) -> FrameList:
    """Returns empty frames in the place of a video that is not read yet, for checks of the question and for plans.

    count: the number of frames; None = the fewest that the model takes.
    """
    frame = Loaded(kind="image", source=public(media), body=b"")
    return FrameList(frames=(frame,) * (count or least_frames(context)), fps=1.0)


def _must_be_cut(media: Media, context: JobContext) -> bool:
    job, takes = context.spec.job, context.model.video
    if context.task.FACTS.embeds:
        return False
    if job.media.frames is None and (takes or (takes is None and media.url is not None)):
        return False
    if media.url is not None and job.media.fetch == "service":
        why = "media.frames is set" if job.media.frames else f"{context.model.name} takes no video files"
        raise refusal(
            "VideoUrl", f'{public(media)}: {why}; set media.fetch = "here", so that its frames can be taken here'
        )
    return True


def takes_lists(context: JobContext) -> bool:
    """Tells whether a list of frames can be sent as one video."""
    return bool(declared(context.endpoint.provider, "FRAME_LISTS")) and context.model.frames is not False


def _placed(request: Request, taken: Mapping[Media | Loaded, FrameList], context: JobContext) -> Request:
    turns = tuple(
        msgspec.structs.replace(turn, parts=tuple(new for part in turn.parts for new in _parts(part, taken, context)))
        if any(not isinstance(part, Text) for part in turn.parts)
        else turn
        for turn in request.turns
    )
    return msgspec.structs.replace(request, turns=turns)


def _parts(part: Part, taken: Mapping[Media | Loaded, FrameList], context: JobContext) -> tuple[Part, ...]:
    if not isinstance(part, VideoFile) or part.media not in taken:
        return (part,)
    cut = taken[part.media]
    if not takes_lists(context):
        return tuple(Image(frame) for frame in cut.frames)
    options = {name: value for name, value in part.options.items() if name not in ("fps", "min_frames", "max_frames")}
    fps = min(max(cut.fps, LEAST_FPS), MOST_FPS)
    return (Video(frames=cut.frames, fps=fps, options=options),)


def _thinned(cut: FrameList, most: int) -> FrameList:
    """Returns at most `most` of the frames, evenly spread, with the first and the last. If `most` is 1, the first."""
    count = len(cut.frames)
    if count <= most:
        return cut
    if most == 1:
        return FrameList(frames=cut.frames[:1], fps=cut.fps)
    kept = tuple(cut.frames[round(index * (count - 1) / (most - 1))] for index in range(most))
    return FrameList(frames=kept, fps=cut.fps * most / count)


def takes_pages(request: Request, media: Media) -> bool:
    """Tells whether a document may stand in the place of `media`.

    A document may be a picture of a question. For a task that asks for each page by itself (ocr), the document must be
    the request's only medium, and the request must have no follow-ups.
    """
    pages = facts(request.task).pages
    if pages == "each":
        return not request.follow_ups and all_media(request) == [media]
    return pages == "together" and any(
        isinstance(part, Image) and part.media == media for turn in request.turns for part in turn.parts
    )


def check_count(document: Document, context: JobContext) -> None:
    """Raises Fault (`Local.TooManyPages`) if the document has more pages than the job or the model takes."""
    job, model, pages = context.spec.job, context.model, document.pages
    if pages > job.media.max_pages:
        raise refusal("TooManyPages", f"{document.name}: {pages} pages; media.max_pages allows {job.media.max_pages}")
    if context.task.FACTS.pages == "together" and model.max_images is not None and pages > model.max_images:
        raise refusal("TooManyPages", f"{document.name}: {pages} pages; {model.name} takes {model.max_images} pictures")


def with_pages(request: Request, pages: Mapping[Media | Loaded, tuple[Loaded, ...]]) -> Request:
    """Returns the request with each document of `pages` replaced by its pages, in order."""
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
