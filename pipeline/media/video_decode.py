"""Decodes chosen frames of a video, one at a time. Seeks if that is shorter; skips frames that are not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from pipeline.errors import refusal
from pipeline.media.video_file import Video, shown_size, stopping_at_damage
from pipeline.media.video_index import Index

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from PIL import Image

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED, libavutil/pixfmt.h
_HD_ROWS = 720  # from this height on, players assume BT.709 if the file does not state its colours


class Decoder:
    """Decodes frames of one open video, upright and with square pixels."""

    def __init__(self, video: Video, index: Index) -> None:
        from av.video.reformatter import Colorspace, VideoReformatter

        self._video = video
        self._index = index
        self._scaler = VideoReformatter()
        self._hd = int(Colorspace.ITU709)
        video.stream.codec_context.thread_count = 1  # each thread holds frames of its own; rows run in parallel instead

    def frames(self, wanted: Sequence[int], look: Callable[[VideoFrame], Any]) -> dict[int, Any]:
        """Returns ordinal → the result of `look`, for each wanted frame. `wanted`: ordinals, ascending.

        Holds one frame at a time. Leaves out a frame that cannot be decoded.
        Raises Fault `Local.BrokenVideo` if half of the wanted frames or more cannot be decoded.
        """
        found: dict[int, Any] = {}
        self._rewind()
        for ordinal, frame in self._quick(wanted):
            found.setdefault(ordinal, look(frame))
        missing = [ordinal for ordinal in wanted if ordinal not in found]
        if missing:
            for ordinal, frame in self._plain(missing):
                found.setdefault(ordinal, look(frame))
        if 2 * len(found) <= len(wanted):
            raise refusal(
                "BrokenVideo",
                f"{self._video.name}: {len(wanted) - len(found)} of {len(wanted)} frames cannot be decoded: the file "
                "is damaged, or its codec is not known here; convert it to H.264 in MP4",
            )
        return found

    def picture(self, frame: VideoFrame, width: int, height: int) -> Image.Image:
        """Returns a decoded frame as an upright RGB picture. `width`, `height`: its size in pixels, as shown."""
        wide, tall = (height, width) if self._video.turns % 2 else (width, height)
        unmarked = int(frame.colorspace) == _UNSPECIFIED and frame.height >= _HD_ROWS
        rgb = self._scaler.reformat(
            frame,
            width=wide,
            height=tall,
            format="rgb24",
            src_colorspace=self._hd if unmarked else None,
            interpolation="AREA" if wide < frame.width else "BICUBIC",
        )
        image: Image.Image = rgb.to_image()  # type: ignore[no-untyped-call]
        return _turned(image, self._video.turns)

    def size(self, frame: VideoFrame, max_pixels: int | None) -> tuple[int, int]:
        """Returns (width, height) of a frame as shown, within `max_pixels`."""
        ratio = self._video.stream.sample_aspect_ratio
        width, height = shown_size(frame.width, frame.height, ratio, self._video.turns)
        if max_pixels is None or width * height <= max_pixels:
            return width, height
        scale = (max_pixels / (width * height)) ** 0.5
        return max(1, int(width * scale)), max(1, int(height * scale))

    def _quick(self, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yields (ordinal, frame) of the wanted frames.

        Seeks to the key frame before a wanted frame, if that key frame lies ahead. Decodes only wanted frames and
        frames that other frames refer to.
        """
        place, needed = -1, {self._index.stamps[ordinal] for ordinal in wanted}
        frames = self._decoded(needed)
        for ordinal in wanted:
            key = self._index.key_before(ordinal)
            if key is not None and key[0] > max(place, 0):
                frames = self._from_key(key[1], ordinal, needed)
            for frame, place in frames:
                if place == ordinal:
                    yield ordinal, frame
                if place >= ordinal:
                    break
            else:
                return

    def _from_key(self, seeks: Sequence[int], ordinal: int, needed: set[int]) -> Iterator[tuple[VideoFrame, int]]:
        """Yields the frames from a key frame on.

        `seeks`: the stamps to seek for, in turn. The next stamp is tried if a seek leads behind the wanted frame.
        """
        for stamp in seeks:
            if self._seek(stamp):
                frames = self._decoded(needed)
                first = next(frames, None)
                if first is not None and first[1] <= ordinal:
                    return chain((first,), frames)
        return iter(())

    def _plain(self, wanted: Sequence[int]) -> Iterator[tuple[int, VideoFrame]]:
        """Yields (ordinal, frame) of the wanted frames. Decodes all, for files whose packets and frames disagree."""
        self._rewind()
        left = set(wanted)
        for frame, place in self._decoded(None):
            if place in left:
                left.discard(place)
                yield place, frame
            if not left:
                return

    def _rewind(self) -> None:
        import av

        if not self._seek(self._index.start):
            with suppress(av.FFmpegError):
                self._video.container.seek(0)

    def _seek(self, stamp: int) -> bool:
        import av

        try:
            self._video.container.seek(stamp, stream=self._video.stream)
        except av.FFmpegError:
            return False
        return True

    def _decoded(self, needed: set[int] | None) -> Iterator[tuple[VideoFrame, int]]:
        """Yields each undamaged frame from the current place on, with its ordinal. Skips broken packets."""
        import av

        context, counted = self._video.stream.codec_context, self._index.counted
        context.skip_frame = "DEFAULT"
        count = -1
        with stopping_at_damage():
            for packet in self._video.container.demux(self._video.stream):
                if needed is not None and not counted:
                    context.skip_frame = "DEFAULT" if packet.pts is None or packet.pts in needed else "NONREF"
                frames: list[Any] = []
                with suppress(av.FFmpegError):
                    frames = packet.decode()
                for frame in frames:
                    count += 1
                    if not frame.is_corrupt and (counted or frame.pts is not None):
                        yield frame, count if counted else self._index.ordinal(frame.pts)


def _turned(image: Image.Image, turns: int) -> Image.Image:
    from PIL import Image as Pillow

    turn = {1: Pillow.Transpose.ROTATE_270, 2: Pillow.Transpose.ROTATE_180, 3: Pillow.Transpose.ROTATE_90}.get(turns)
    return image if turn is None else image.transpose(turn)
