"""Takes frames out of a video, evenly in time or at scene changes, as upright JPEG. Needs the extra `[video]`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pipeline.media.video_choice import THUMB_SIDE, after_changes, candidates, distinct, evenly, repeated
from pipeline.media.video_decode import Decoder
from pipeline.media.video_file import Source, opened_video, require_video
from pipeline.media.video_index import Index, index_of

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Frame", "Taken", "VideoInfo", "probe_video", "require_video", "sample_frames", "take_frames"]

_QUALITY = 90


class Frame(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One frame of a video: the JPEG, when it is shown (seconds after the first frame), and its size in pixels."""

    jpeg: bytes
    seconds: float
    width: int
    height: int

    def __repr__(self) -> str:
        return f"Frame({self.seconds:.3f} s, {self.width}×{self.height}, {len(self.jpeg)} bytes)"


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The frames in order.

    `fps`: frames per second of this list, as the service must be told. `duration`: seconds of the video.
    `dropped_equal`: how many frames were left out because they nearly equal the last kept frame before them.
    """

    frames: tuple[Frame, ...]
    fps: float
    duration: float
    dropped_equal: int = 0


class VideoInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The facts that the headers of a video state.

    `width`, `height`: in pixels as shown, upright and with square pixels. `seconds`, `fps` and `frames` are None if the
    headers do not state them (live recordings, bare streams).
    """

    width: int
    height: int
    seconds: float | None
    fps: float | None
    frames: int | None


def probe_video(source: Source, *, name: str | None = None) -> VideoInfo:
    """Returns the facts of a video from its headers alone. Takes a few milliseconds.

    `source`: the bytes, a path, or a binary file that can seek. `name`: the name of the video in messages, by default
    the path's last part. Blocking. Raises MissingExtra, and the faults of `take_frames` that the headers alone show.
    """
    with opened_video(source, name) as video:
        seconds, fps, frames = video.seconds, video.fps, video.frames
        if seconds is None and frames and fps:
            seconds = frames / fps
        if frames is None and seconds and fps:
            frames = max(1, round(seconds * fps))
        return VideoInfo(width=video.width, height=video.height, seconds=seconds, fps=fps, frames=frames)


def take_frames(
    source: Source,
    *,
    most: int,
    least: int = 4,
    by: Literal["time", "scene"] = "time",
    max_pixels: int | None = None,
    name: str | None = None,
) -> Taken:
    """Returns at most `most` frames of a video.

    `by` "time" takes frames at even distances in time. `by` "scene" takes the first frame, the last frame and the
    frames after the largest changes, which are searched among up to 512 frames (or twice `most`, if that is more).
    Of neighbours that are nearly equal, only the first is kept. If fewer than `least` frames are left, `least` frames
    at even distances are taken instead, and are repeated if the video has fewer frames.
    Each frame is turned upright, gets square pixels, is downscaled to `max_pixels`, and is written as JPEG without
    metadata. The same video gives the same bytes with the same version of PyAV. One decoded frame is held at a time.
    `source`: the bytes, a path, or a binary file that can seek. `name`: the name of the video in messages, by default
    the path's last part. Blocking: run it in a thread.
    Raises ValueError unless 1 ≤ least ≤ most; MissingExtra; Fault `rejected` with the code `Local.EmptyFile`,
    `Local.MissingFile`, `Local.NoPermission`, `Local.NotAFile`, `Local.UnreadableFile`, `Local.NotAVideo`,
    `Local.NoVideoStream`, `Local.TruncatedVideo`, `Local.BrokenVideo`, `Local.VideoCodec`, `Local.VideoTooLong` or
    `Local.TooManyPixels`.
    """
    if not 1 <= least <= most:
        raise ValueError(f"least {least} and most {most}: expected 1 ≤ least ≤ most")
    with opened_video(source, name) as video:
        index = index_of(video)
        decoder = Decoder(video, index)
        chosen = evenly(index, most) if by == "time" else _at_changes(decoder, index, most)
        taken = decoder.frames(chosen, lambda frame: _written(decoder, frame, max_pixels))
        ordinals = [ordinal for ordinal in chosen if ordinal in taken]
        kept = [ordinals[place] for place in distinct([taken[ordinal][0] for ordinal in ordinals])]
        if len(kept) < least:
            even = evenly(index, least)
            taken = decoder.frames(even, lambda frame: _written(decoder, frame, max_pixels))
            kept = repeated([ordinal for ordinal in even if ordinal in taken], least)
    dropped = max(0, len(ordinals) - len(set(kept)))
    return _listed(index, kept, {ordinal: taken[ordinal][1:] for ordinal in kept}, dropped)


def sample_frames(
    source: Source, *, fps: float, least: int, most: int, max_pixels: int | None = None, name: str | None = None
) -> Taken:
    """Returns `fps` frames per second of a video, at even distances from the first to the last. Keeps equal frames.

    This is the rule by which Qwen-VL samples a file (`smart_nframes` of qwen_vl_utils 0.0.8). The count is at least
    `least`, at most `most`, and at most the number of frames in the video; a count above one is then rounded down to an
    even number. All else is the same as in `take_frames`.
    """
    with opened_video(source, name) as video:
        index = index_of(video)
        decoder = Decoder(video, index)
        count = min(max(least, int(index.duration * fps + 1e-6)), most, len(index.stamps))
        chosen = evenly(index, count - count % 2 if count > 1 else count)
        taken = decoder.frames(chosen, lambda frame: _jpeg(decoder, frame, max_pixels))
    kept = [ordinal for ordinal in chosen if ordinal in taken]
    return _listed(index, kept, taken, 0)


def _at_changes(decoder: Decoder, index: Index, most: int) -> list[int]:
    wanted = candidates(index, most)
    if len(wanted) <= most:
        return wanted
    thumbs = decoder.frames(wanted, lambda frame: decoder.picture(frame, THUMB_SIDE, THUMB_SIDE))
    seen = [ordinal for ordinal in wanted if ordinal in thumbs]
    return after_changes(seen, [thumbs[ordinal] for ordinal in seen], most)


def _written(decoder: Decoder, frame: Any, max_pixels: int | None) -> tuple[Image.Image, bytes, int, int]:
    return (decoder.picture(frame, THUMB_SIDE, THUMB_SIDE), *_jpeg(decoder, frame, max_pixels))


def _jpeg(decoder: Decoder, frame: Any, max_pixels: int | None) -> tuple[bytes, int, int]:
    width, height = decoder.size(frame, max_pixels)
    file = io.BytesIO()
    decoder.picture(frame, width, height).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue(), width, height


def _listed(index: Index, kept: Sequence[int], written: dict[int, tuple[bytes, int, int]], dropped: int) -> Taken:
    frames = []
    for ordinal in kept:
        jpeg, width, height = written[ordinal]
        frames.append(Frame(jpeg=jpeg, seconds=round(index.seconds(ordinal), 6), width=width, height=height))
    span = frames[-1].seconds - frames[0].seconds
    fps = (len(frames) - 1) / span if span > 0 else len(frames) / max(index.duration, 1e-3)
    return Taken(frames=tuple(frames), fps=round(fps, 6), duration=round(index.duration, 6), dropped_equal=dropped)
