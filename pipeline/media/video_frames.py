"""Turns one video file into frames that are ready to be sent."""

from __future__ import annotations

import functools
import hashlib
from typing import Literal

import msgspec

from pipeline.media.files import digest, on_disk, opened
from pipeline.media.redact import public
from pipeline.types import Loaded, Media


class FrameList(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of one video in order. `fps`: how many of these frames stand for one second."""

    frames: tuple[Loaded, ...]
    fps: float


def require_video() -> None:
    """Raises MissingExtra if PyAV is not installed."""
    from pipeline.media.video_file import require_video as require

    require()


def frames_of(
    video: Media,
    body: bytes | None,
    *,
    most: int,
    least: int,
    by: Literal["time", "scene"],
    max_pixels: int | None,
    confine: str | None,
) -> tuple[Loaded, FrameList]:
    """Returns the video itself (only its hash, no bytes), and `least` to `most` frames of the video. Blocking.

    `body`: the bytes, if they are already here. `max_pixels`: the largest area of a frame. The source of a frame is the
    video's reference, followed by `#t=<seconds>`. Raises the same errors as `take_frames` (MissingExtra without
    PyAV) and `files.opened`.
    """
    from pipeline.media.video import take_frames

    sha256 = hashlib.sha256(body).hexdigest() if body is not None else digest(video, confine=confine)
    source = public(video)
    take = functools.partial(take_frames, most=most, least=least, by=by, max_pixels=max_pixels, name=source)
    if video.member is not None and body is None:
        with opened(video, confine) as file:
            taken = take(file)
    else:
        taken = take(body or video.data or on_disk(video.path or "") or b"")
    named = video.member.name if video.member is not None else source
    stem = named.rpartition("/")[2].rpartition(".")[0] or "video"
    frames = tuple(
        Loaded(
            kind="image",
            source=f"{source}#t={frame.seconds:.3f}",
            body=frame.jpeg,
            mime="image/jpeg",
            name=f"{stem}_{index:03}.jpg",
            sha256=hashlib.sha256(frame.jpeg).hexdigest(),
            width=frame.width,
            height=frame.height,
        )
        for index, frame in enumerate(taken.frames, 1)
    )
    return Loaded(kind="video", source=source, sha256=sha256), FrameList(frames=frames, fps=taken.fps)
