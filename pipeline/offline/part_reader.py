"""Reads and checks the media of a message's parts for one model: images, frames, videos, audio, and their options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.errors import Fault, MissingExtra
from pipeline.media.video import probe_video, sample_frames
from pipeline.offline import error_replies, tokens
from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import Limits, VideoLimits
from pipeline.offline.media import Image, Source, audio_of, image_of, load
from pipeline.offline.tokens import Grid, Pixels

_FRAME_PIXELS = 655_360  # the services scale frames down to this area
_NOT_MET = "The video modality input does not meet the requirements because: "


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """Frames with the size of the video, the number of frames per second, and the length of the file in seconds."""

    frames: tuple[Image, ...]
    fps: float
    seconds: float


def sampled(data: bytes, limits: VideoLimits, *, fps: float, frames: tuple[int, int]) -> Sampled:
    """Returns the frames of a file, `fps` a second, within `frames` (least, most). Blocking. Raises Refusal."""
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


_BASE64_START = 64
_DEFAULT_FPS = 2.0


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """Frames in order. They come from a list (`fps` as the caller stated, or None) or from a file of `seconds`."""

    frames: tuple[Image, ...]
    fps: float | None = None
    seconds: float | None = None
    pixels: Pixels = Pixels()


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes of a sound and its length."""

    data: bytes
    seconds: float


Part = str | Image | Video | Audio


class PartReader(msgspec.Struct, frozen=True, kw_only=True):
    """Reads the parts of a message within the limits of a model.

    The methods block. They raise Refusal with the error that the service gives.
    """

    limits: Limits
    grid: Grid | None
    source: Source

    def image(self, reference: object, part: Mapping[str, Any]) -> Image:
        """Returns a picture with the options beside it."""
        marks(part)
        asked = pixels(part, self.grid)
        return msgspec.structs.replace(image_of(reference, self.limits, self.source), pixels=asked)

    def video(self, value: object, part: Mapping[str, Any]) -> Video:
        """Returns a list of frames, or one video file, with the options beside it."""
        marks(part)
        asked = pixels(part, self.grid)
        if isinstance(value, list):
            return self._frames(value, part, asked)
        limits = self.limits.video
        if limits is None:
            raise Refusal("parameter", "This model does not support video files.")
        return self.video_file(value, limits, part, asked)

    def video_file(self, value: object, limits: VideoLimits, part: Mapping[str, Any], asked: Pixels) -> Video:
        """Returns the frames of a file within `limits`, sampled at the `fps` of the part."""
        fps = rate(part, limits.fps) or _DEFAULT_FPS
        least, most = frame_bounds(part, limits.frames)
        within = msgspec.structs.replace(self.limits, max_bytes=limits.max_bytes)
        data, _mime = load(value, within, self.source)
        found = sampled(data, limits, fps=fps, frames=(least, most))
        return Video(frames=found.frames, fps=found.fps, seconds=found.seconds, pixels=asked)

    def audio(self, reference: object, part: Mapping[str, Any]) -> Audio:
        """Returns a sound, given by URL, as a data: URI or as bare base64 (OpenAI's form)."""
        marks(part)
        if not self.limits.audio:
            raise Refusal("parameter", "This model does not support audio.")
        if isinstance(reference, str) and ":" not in reference[:_BASE64_START]:
            reference = f"data:;base64,{reference}"
        data, seconds = audio_of(reference, self.limits, self.source, cut=False)
        return Audio(data=data, seconds=seconds)

    def _frames(self, value: list[Any], part: Mapping[str, Any], asked: Pixels) -> Video:
        if self.limits.frames is None:
            raise Refusal("parameter", "This model does not support video.")
        least, most = self.limits.frames
        if not least <= len(value) <= most:
            raise Refusal("parameter", f"the range of sequence images shoule be ({least}, {most}).")
        frames = tuple(image_of(one, self.limits, self.source) for one in value)
        return Video(frames=frames, fps=rate(part, (0.1, 10.0)), pixels=asked)


def reader(model: str, limits: Limits, source: Source) -> PartReader:
    return PartReader(limits=limits, grid=tokens.grid_of(model), source=source)


def check_kinds(parts: tuple[Part, ...], limits: Limits) -> None:
    """Raises Refusal if the model takes text and one other kind, and the message holds two other kinds."""
    kinds = {type(part) for part in parts if not isinstance(part, str)}
    if limits.one_kind and len(kinds) > 1:
        raise Refusal("parameter", "A user message of this model holds text and one other kind of input only.")


_DETAILS = (None, "auto", "low", "high")
_MOST_TOTAL = 819_200_000  # the largest value in the table of the newer models


def pixels(part: Mapping[str, Any], grid: Grid | None) -> Pixels:
    """Returns `min_pixels`, `max_pixels` and `total_pixels` (for videos) of a part. Raises Refusal."""
    most_high = grid.most_high if grid is not None else None
    least = error_replies.integer(part, "min_pixels", 1, most_high)
    most = error_replies.integer(part, "max_pixels", 1, most_high)
    if least is not None and most is not None and least > most:
        raise Refusal("parameter", f"min_pixels ({least}) should not be greater than max_pixels ({most})")
    return Pixels(least=least, most=most, total=error_replies.integer(part, "total_pixels", 1, _MOST_TOTAL))


def marks(part: Mapping[str, Any]) -> None:
    """Checks `cache_control` and `enable_rotate`, which change nothing here. Raises Refusal."""
    mark = part.get("cache_control")
    if mark is not None and (not isinstance(mark, Mapping) or mark.get("type") != "ephemeral"):
        raise Refusal("parameter", 'cache_control should be {"type": "ephemeral"}')
    if not isinstance(part.get("enable_rotate", False), bool):
        raise Refusal("parameter", "Parameter enable_rotate should be a bool.")


def rate(part: Mapping[str, Any], bounds: tuple[float, float]) -> float | None:
    """Returns `fps`, which must be within its bounds, or None. Raises Refusal."""
    fps = error_replies.number(part, "fps")
    if fps is not None and not bounds[0] <= fps <= bounds[1]:
        raise Refusal("parameter", f"Range of fps should be [{bounds[0]:g}, {bounds[1]:g}]")
    return fps


def frame_bounds(part: Mapping[str, Any], model: tuple[int, int]) -> tuple[int, int]:
    """Returns `min_frames` and `max_frames` of a video file. Raises Refusal.

    The limits of the model are the default.
    """
    least = error_replies.integer(part, "min_frames", 1, model[1])
    most = error_replies.integer(part, "max_frames", model[0], model[1])
    found = least or min(model[0], most or model[0]), most or model[1]
    if found[0] > found[1]:
        raise Refusal("parameter", f"min_frames ({found[0]}) should not be greater than max_frames ({found[1]})")
    return found


def detail(holder: Mapping[str, Any]) -> None:
    """Checks `detail` inside `image_url`. Raises Refusal."""
    if holder.get("detail") not in _DETAILS:
        raise Refusal("parameter", "image_url.detail should be low, high or auto")
