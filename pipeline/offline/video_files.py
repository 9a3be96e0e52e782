"""Video files as the services take them: checked by size and length, sampled into frames."""

from __future__ import annotations

import msgspec

from pipeline.errors import Fault, MissingExtra
from pipeline.media.video import probe_video, sample_frames
from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import VideoLimits
from pipeline.offline.media import Image

_FRAME_PIXELS = 655_360  # the services look at frames of no more
_NOT_MET = "The video modality input does not meet the requirements because: "


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """Frames with the size that the file has, how many of them a second there are, and the file's length."""

    frames: tuple[Image, ...]
    fps: float
    seconds: float


def sampled(data: bytes, limits: VideoLimits, *, fps: float, frames: tuple[int, int]) -> Sampled:
    """The frames of a file, `fps` a second, within `frames` (least, most). Blocking. Raises Refusal."""
    if len(data) > limits.max_bytes:
        raise Refusal("parameter", "Multimodal file size is too large")
    try:
        info = probe_video(data)
        _check_length(info.seconds, limits)
        taken = sample_frames(data, fps=fps, least=frames[0], most=frames[1], max_pixels=_FRAME_PIXELS)
    except MissingExtra as error:
        raise Refusal("parameter", f"The embedded service cannot open video files here: {error}") from error
    except Fault as fault:
        raise Refusal("parameter", f"{_NOT_MET}{fault.message}") from fault
    _check_length(taken.duration, limits)
    images = tuple(Image(data=frame.jpeg, width=info.width, height=info.height) for frame in taken.frames)
    return Sampled(frames=images, fps=len(images) / taken.duration, seconds=taken.duration)


def _check_length(seconds: float | None, limits: VideoLimits) -> None:
    if seconds is None:
        return
    if seconds < limits.min_seconds:
        raise Refusal("parameter", f"{_NOT_MET}the video file is too short.")
    if limits.max_seconds is not None and seconds > limits.max_seconds:
        raise Refusal("parameter", f"{_NOT_MET}the video file is too long.")
