"""Replaces the media of a request by what is sent: loaded files, fetched URLs, uploads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from pipeline.providers.body import all_media
from pipeline.types import EmbedItem, Loaded, Media, Part, Request, Text, Video

Upload = Callable[[Loaded], Awaitable[Loaded]]
Instead = Callable[[Media | Loaded], Media | Loaded]


async def uploaded(request: Request, upload: Upload) -> Request:
    """The request with everything that has bytes replaced by what `upload` gives. Raises Fault."""
    urls: dict[int, Loaded] = {}  # by object: the hash of a medium goes through all its bytes
    for media in all_media(request):
        if isinstance(media, Loaded) and media.body is not None and id(media) not in urls:
            urls[id(media)] = await upload(media)
    return replaced(request, lambda media: urls.get(id(media), media)) if urls else request


def request_without_bytes(request: Request) -> Request:
    """The request with what is known of its media, but not their bytes: once encoded, they would be held twice."""
    if not all_media(request):
        return request
    return replaced(request, lambda media: without_bytes(media) if isinstance(media, Loaded) else media)


def without_bytes(media: Loaded) -> Loaded:
    """The medium without its bytes."""
    return media if media.body is None else msgspec.structs.replace(media, body=None)


def replaced(request: Request, instead: Instead) -> Request:
    """The request with each medium replaced by what `instead` gives for it."""
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
