"""Every picture, sound and video that a row names, wherever in the row it stands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from pipeline.manifest.frames import expand
from pipeline.types import Frames, FrameSource, Item, Media, Message, Row


def row_media(row: Row) -> Iterator[Media]:
    """In the order of the row's request: earlier turns first. Frames that are not listed yet are passed over."""
    if row.frames is None and not (row.messages or row.audio or row.contents or row.videos):
        return iter(row.images)
    return chain(message_media(row), own_media(row))


def own_media(row: Row) -> Iterator[Media]:
    """Of the row's own question: images, frames, audio, contents, videos."""
    yield from row.images
    if row.frames is not None:
        yield from _expand_frames(row.frames)
    yield from row.audio
    yield from _of_items(row.contents)
    yield from _of_items(row.videos)


def message_media(row: Row) -> Iterator[Media]:
    """Of the earlier turns."""
    for message in row.messages:
        yield from message.images
        yield from _of_items(message.items)


def has_unlisted_frames(row: Row) -> bool:
    """Whether a folder or glob of frames must be listed before the row's media are known."""
    if row.frames is not None and isinstance(row.frames.images, FrameSource):
        return True
    if not row.contents and not row.messages:
        return False
    items = (*row.contents, *(item for message in row.messages for item in message.items))
    return any(isinstance(i.content, Frames) and isinstance(i.content.images, FrameSource) for i in items)


def expand_frames(row: Row) -> Row:
    """The row with all frames listed and sampled. Raises Fault where a folder cannot be listed."""
    changed: dict[str, object] = {}
    if row.frames is not None and _must_be_listed(row.frames):
        changed["frames"] = _expanded(row.frames)
    if row.contents and (contents := _expand_items(row.contents)) is not row.contents:
        changed["contents"] = contents
    if row.messages and any(message.items for message in row.messages):
        changed["messages"] = tuple(_expand_message(message) for message in row.messages)
    return msgspec.structs.replace(row, **changed) if changed else row


def _expand_frames(frames: Frames) -> Iterator[Media]:
    if not isinstance(frames.images, FrameSource):
        yield from frames.images


def _of_items(items: tuple[Item, ...]) -> Iterator[Media]:
    for item in items:
        if isinstance(item.content, Media):
            yield item.content
        elif isinstance(item.content, Frames):
            yield from _expand_frames(item.content)


def _must_be_listed(frames: Frames) -> bool:
    return frames.max_frames is not None or isinstance(frames.images, FrameSource)


def _expanded(frames: Frames) -> Frames:
    return msgspec.structs.replace(frames, images=expand(frames))


def _expand_items(items: tuple[Item, ...]) -> tuple[Item, ...]:
    if not any(isinstance(item.content, Frames) and _must_be_listed(item.content) for item in items):
        return items
    return tuple(
        msgspec.structs.replace(item, content=_expanded(item.content)) if isinstance(item.content, Frames) else item
        for item in items
    )


def _expand_message(message: Message) -> Message:
    items = _expand_items(message.items)
    return message if items is message.items else msgspec.structs.replace(message, items=items)
