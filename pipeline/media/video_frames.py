"""Turns one video file into frames that are ready to be sent."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from pipeline.media.files import digest, on_disk, opened
from pipeline.media.redact import public
from pipeline.types import Loaded, Media


class FrameList(msgspec.Struct, frozen=True, kw_only=True):
    """Frames of one video in order. `fps`: how many of these frames stand for one second."""

    frames: tuple[Loaded, ...]
    fps: float


class FrameOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which frames are taken out of a video: `least` to `most` frames, chosen `by` time or by scene (`take_frames`).

    `max_pixels`: the largest area of a frame; None: the size of the video.
    """

    most: int
    least: int
    by: Literal["time", "scene"]
    max_pixels: int | None


def require_video() -> None:
    """Raises MissingExtra if PyAV is not installed."""
    from pipeline.media.video_file import require_video as require

    require()


def frames_of(
    video: Media, body: bytes | None, options: FrameOptions, *, confine: str | None
) -> tuple[Loaded, FrameList]:
    """Returns the video itself (only its hash, no bytes), and frames of the video. Blocking.

    `body`: the bytes, if they are already here. The source of a frame is the video's reference, followed by
    `#t=<seconds>`. Raises the same errors as `take_frames` (MissingExtra without PyAV) and `files.opened`.
    """
    from pipeline.media.video import take_frames

    sha256 = hashlib.sha256(body).hexdigest() if body is not None else digest(video, confine=confine)
    source = public(video)
    wanted: dict[str, Any] = msgspec.structs.asdict(options)
    if video.member is not None and body is None:
        with opened(video, confine) as file:
            taken = take_frames(file, **wanted, name=source)
    else:
        taken = take_frames(body or video.data or on_disk(video.path or "") or b"", **wanted, name=source)
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
