"""Replaces the media of a request by what is sent: loaded files, fetched URLs, uploads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

import msgspec

from pipeline.types import Loaded, Media, Part, Request, Text, Video

Upload = Callable[[Loaded], Awaitable[Loaded]]


def media_of(request: Request) -> Iterator[Media | Loaded]:
    """Every picture and sound of a request, in the order it goes on the wire."""
    for turn in request.turns:
        for part in turn.parts:
            yield from _of_part(part)
    for item in request.items:
        yield from _of_part(item.part)


async def uploaded(request: Request, upload: Upload) -> Request:
    """The request with everything that has bytes replaced by what `upload` gives. Raises Fault."""
    urls: dict[Media | Loaded, Loaded] = {}
    for media in media_of(request):
        if isinstance(media, Loaded) and media.body is not None and media not in urls:
            urls[media] = await upload(media)
    return replaced(request, urls) if urls else request


def replaced(request: Request, loaded: Mapping[Media | Loaded, Loaded]) -> Request:
    """The request with each medium that stands in `loaded` replaced."""
    turns = tuple(
        msgspec.structs.replace(turn, parts=tuple(_part(part, loaded) for part in turn.parts))
        if any(not isinstance(part, Text) for part in turn.parts)
        else turn
        for turn in request.turns
    )
    items = tuple(msgspec.structs.replace(item, part=_part(item.part, loaded)) for item in request.items)
    return msgspec.structs.replace(request, turns=turns, items=items)


def _of_part(part: Part) -> Iterator[Media | Loaded]:
    if isinstance(part, Video):
        yield from part.frames
    elif not isinstance(part, Text):
        yield part.media


def _part(part: Part, loaded: Mapping[Media | Loaded, Loaded]) -> Part:
    if isinstance(part, Text):
        return part
    if isinstance(part, Video):
        return Video(frames=tuple(_one(frame, loaded) for frame in part.frames), fps=part.fps)
    return type(part)(_one(part.media, loaded))


def _one(media: Media | Loaded, loaded: Mapping[Media | Loaded, Loaded]) -> Media | Loaded:
    return loaded.get(media) or media
