"""Lists the frames of one video: a folder or glob in natural order, and the even sample that `max_frames` asks for."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import refusal
from pipeline.machine import pass_on
from pipeline.manifest.kinds import kind_of
from pipeline.manifest.walk import is_glob, split_glob, walk
from pipeline.media.files import on_disk
from pipeline.media.refs import is_relative, redact_for_message
from pipeline.types import Frames, FrameSource, Media

# The longest frame list any service of the reference takes is 2,000; a listing beyond this is a wrong folder.
MAX_LISTED = 100_000


def expand(frames: Frames) -> tuple[Media, ...]:
    """The pictures to send, in order. A folder gives the pictures directly in it, a glob those that match.

    Raises Fault `Local.MissingFrames` (no such folder, nothing in it), `Local.TooManyFrames` (beyond MAX_LISTED).
    """
    images = frames.images
    listed = _listed(images) if isinstance(images, FrameSource) else images
    if not listed:
        raise refusal("MissingFrames", "frames: the list is empty")
    if len(listed) > MAX_LISTED:
        raise refusal("TooManyFrames", f"frames: more than {MAX_LISTED:,} pictures")
    return sample(listed, frames.max_frames)


def sample(images: tuple[Media, ...], most: int | None) -> tuple[Media, ...]:
    """At most `most` of the pictures, evenly spread, the first and the last among them (of one: the first)."""
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
    # References stay relative where the manifest's was, so that loading keeps links within the manifest's folder.
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
