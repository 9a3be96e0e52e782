"""Reads the media of a message's parts for one model, whatever the protocol: pictures, frames, videos, sounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.offline import part_options, tokens
from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import Limits, VideoLimits
from pipeline.offline.media import Image, Source, audio_of, image_of, load
from pipeline.offline.tokens import Grid, Pixels
from pipeline.offline.video_files import sampled

_BASE64_START = 64
_DEFAULT_FPS = 2.0


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """Frames in order, given as a list (`fps` as the caller stated, or None) or taken out of a file of `seconds`."""

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
    """What a model takes, and where media come from. Its methods block and raise Refusal as the service answers."""

    limits: Limits
    grid: Grid | None
    source: Source

    def image(self, reference: object, part: Mapping[str, Any]) -> Image:
        """A picture with the options beside it."""
        part_options.marks(part)
        asked = part_options.pixels(part, self.grid)
        return msgspec.structs.replace(image_of(reference, self.limits, self.source), pixels=asked)

    def video(self, value: object, part: Mapping[str, Any]) -> Video:
        """A list of frames, or one video file, with the options beside it."""
        part_options.marks(part)
        asked = part_options.pixels(part, self.grid)
        if isinstance(value, list):
            return self._frames(value, part, asked)
        limits = self.limits.video
        if limits is None:
            raise Refusal("parameter", "This model does not support video files.")
        return self.video_file(value, limits, part, asked)

    def video_file(self, value: object, limits: VideoLimits, part: Mapping[str, Any], asked: Pixels) -> Video:
        """A file within `limits`, sampled at the part's `fps`."""
        fps = part_options.rate(part, limits.fps) or _DEFAULT_FPS
        least, most = part_options.frame_bounds(part, limits.frames)
        within = msgspec.structs.replace(self.limits, max_bytes=limits.max_bytes)
        data, _mime = load(value, within, self.source)
        found = sampled(data, limits, fps=fps, frames=(least, most))
        return Video(frames=found.frames, fps=found.fps, seconds=found.seconds, pixels=asked)

    def audio(self, reference: object, part: Mapping[str, Any]) -> Audio:
        """A sound by URL, data: URI, or as bare base64, as OpenAI has it."""
        part_options.marks(part)
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
        return Video(frames=frames, fps=part_options.rate(part, (0.1, 10.0)), pixels=asked)


def reader(model: str, limits: Limits, source: Source) -> PartReader:
    return PartReader(limits=limits, grid=tokens.grid_of(model), source=source)


def check_kinds(parts: tuple[Part, ...], limits: Limits) -> None:
    """Raises Refusal where a message of a model that takes text and one other kind holds two."""
    kinds = {type(part) for part in parts if not isinstance(part, str)}
    if limits.one_kind and len(kinds) > 1:
        raise Refusal("parameter", "A user message of this model holds text and one other kind of input only.")
