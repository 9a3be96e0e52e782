"""All media of a row: every image, audio and video, the frames of frame lists, and the stat key of the local files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.machine import pass_on
from pipeline.manifest.kinds import kind_of
from pipeline.manifest.walk import is_glob, split_glob, walk
from pipeline.media.files import facts_of, found_member, on_disk
from pipeline.media.refs import is_relative, redact_for_message
from pipeline.types import Frames, FrameSource, Item, Media, Message, Row

# No service of the reference takes more than 2,000 frames. A folder with more than MAX_LISTED images is a wrong folder.
MAX_LISTED = 100_000


def expand(frames: Frames) -> tuple[Media, ...]:
    """Returns the images to send, in order. A folder gives the images directly in it, a glob the images that match.

    Raises Fault `Local.MissingFrames` (no such folder, or no images), `Local.TooManyFrames` (more than MAX_LISTED) and
    `Local.BadName` (a file name that is not UTF-8).
    """
    images = frames.images
    listed = _listed(images) if isinstance(images, FrameSource) else images
    if not listed:
        raise refusal("MissingFrames", "frames: the list is empty")
    if len(listed) > MAX_LISTED:
        raise refusal("TooManyFrames", f"frames: more than {MAX_LISTED:,} pictures")
    return sample(listed, frames.max_frames)


def sample(images: tuple[Media, ...], most: int | None) -> tuple[Media, ...]:
    """Returns at most `most` images, evenly spread, with the first and the last. If `most` is 1, returns the first."""
    count = len(images)
    if most is None or count <= most:
        return images
    if most == 1:
        return images[:1]
    return tuple(images[round(index * (count - 1) / (most - 1))] for index in range(most))


def _listed(source: FrameSource) -> tuple[Media, ...]:
    root, pattern = on_disk(source.pattern), "*"
    if is_glob(root) and not Path(root).exists():
        root, pattern = split_glob(root)
        root = on_disk(root)
    if not Path(root).is_dir():
        raise refusal("MissingFrames", f"frames: {redact_for_message(source.ref)}: there is no folder {root}")
    # For a relative reference, these are relative too, so that loading keeps links within the manifest's folder.
    relative = is_relative(source.ref)
    found: list[Media] = []
    try:
        for entry in walk(root, pattern):
            if kind_of(entry.relative) == "image":
                ref = f"./{entry.relative}" if relative else entry.path
                _check_name(entry.path)
                found.append(Media(kind="image", ref=ref, path=entry.path))
            if len(found) > MAX_LISTED:
                break
    except OSError as error:
        pass_on(error)
        raise refusal("MissingFrames", f"frames: {root}: cannot be listed: {error.strerror}") from None
    if not found:
        raise refusal("MissingFrames", f"frames: {redact_for_message(source.ref)}: no pictures there")
    return tuple(found)


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown_path = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise refusal("BadName", f"frames: {shown_path}: the file's name is not valid UTF-8; rename it") from None


def row_media(row: Row) -> Iterator[Media]:
    """Yields all media in the order of the request: earlier turns first. Frames that are not listed are left out."""
    if row.frames is None and not (row.messages or row.audio or row.contents or row.videos):
        return iter(row.images)
    return chain(message_media(row), own_media(row))


def own_media(row: Row) -> Iterator[Media]:
    """Yields the media of the row's own question: images, frames, audio, contents, videos."""
    yield from row.images
    if row.frames is not None:
        yield from _expand_frames(row.frames)
    yield from row.audio
    yield from _of_items(row.contents)
    yield from _of_items(row.videos)


def message_media(row: Row) -> Iterator[Media]:
    """Yields the media of the earlier turns."""
    for message in row.messages:
        yield from message.images
        yield from _of_items(message.items)


def has_unlisted_frames(row: Row) -> bool:
    """Tells whether a folder or glob of frames must be listed before the row's media are known."""
    if row.frames is not None and isinstance(row.frames.images, FrameSource):
        return True
    if not row.contents and not row.messages:
        return False
    items = (*row.contents, *(item for message in row.messages for item in message.items))
    return any(isinstance(i.content, Frames) and isinstance(i.content.images, FrameSource) for i in items)


def expand_frames(row: Row) -> Row:
    """Returns the row with all frames listed and sampled. Raises Fault if a folder cannot be listed."""
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


def stat_key(row: Row) -> str | None:
    """Returns the stat key: 32 hex digits over (absolute path, size, time of change in ns) of the row's local files.

    The files are taken in the row's order. For a file in an archive, see `_of_member`. Returns None if the row has no
    local file or has a problem, or if a file is missing. Measured: 3 µs a file.
    """
    if row.problem is not None:
        return None
    digest = None
    try:
        row = expand_frames(row)
        for media in (*own_media(row), *message_media(row)):
            if media.path is None:
                continue
            digest = digest or hashlib.sha256()
            if media.member is not None:
                digest.update(_of_member(media))
                continue
            facts = facts_of(media)
            digest.update(os.fsencode(media.path) + b"\0%d\0%d\n" % (facts.st_size, facts.st_mtime_ns))
    except (OSError, Fault, ValueError):
        return None
    return None if digest is None else digest.hexdigest()[:32]


def _of_member(media: Media) -> bytes:
    """Returns path, name, size and mark of a file in an archive. Raises Fault and OSError.

    The mark of a member of a zip is its checksum. A tar has no checksums: its own size and time of change are the mark.
    """
    member = found_member(media)
    return os.fsencode(f"{media.path}\0{member.name}\0{member.size}\0{member.mark}\n")
