"""Finds from the packets of a video when each frame is shown, and chooses the frames to take. Decodes no frame."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import refusal
from pipeline.media.video_file import Video, stopping_at_damage

if TYPE_CHECKING:
    from av.packet import Packet
    from PIL import Image

# These bounds are above the longest video that any service of the reference takes (two hours). The index of a video
# within these bounds has at most 25 MB.
MAX_SECONDS = 12 * 3600
_MOST_FRAMES = 3_000_000

# Containers whose header states the length of the video. For other containers, FFmpeg guesses it from the bit rate.
_STATED = ("mov", "matroska", "avi", "flv", "asf")


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """The frames in the order in which they are shown.

    `stamps`: when each frame is shown, in units of the stream, ascending; 0, 1, 2 … if the file states no usable times.
    `counted`: whether the stamps are these counts. `keys`: the stamps of the frames at which decoding can begin,
    ascending; empty if decoding can begin only at the first frame. `decoded`: when each frame of `keys` is decoded, in
    the same units. `start`: when the first frame is decoded. `unit`: seconds of one unit. `duration`: seconds from the
    first frame to the end.
    """

    stamps: array[int]
    keys: array[int]
    decoded: array[int]
    start: int
    unit: float
    counted: bool
    duration: float

    def seconds(self, ordinal: int) -> float:
        """Returns the time at which a frame is shown, in seconds after the first frame."""
        return (self.stamps[ordinal] - self.stamps[0]) * self.unit

    def ordinal(self, stamp: int) -> int:
        """Returns the ordinal of the frame that is shown at a stamp; −1 before the first frame."""
        return bisect_right(self.stamps, stamp) - 1

    def key_before(self, ordinal: int) -> tuple[int, tuple[int, int]] | None:
        """Returns the ordinal of the last key frame that is not after a frame, and two stamps to seek for; or None.

        The first stamp is the time at which the key frame is shown: most containers seek by this time. The second stamp
        is the time at which the key frame is decoded.
        """
        place = bisect_right(self.keys, self.stamps[ordinal]) - 1
        return (self.ordinal(self.keys[place]), (self.keys[place], self.decoded[place])) if place >= 0 else None


class _Scan:
    """Collects the facts that the packets of a file state."""

    def __init__(self, video: Video) -> None:
        self.stamps: array[int] = array("q")
        self.keys: dict[int, int] = {}
        self.start = 0
        # AVI states no times, and FFmpeg's guess is wrong if frames are stored in another order than shown
        self.counted = video.container.format.name == "avi" and bool(video.stream.codec_context.has_b_frames)
        self.latest = 0.0
        self._video = video

    def take(self, packet: Packet[Any]) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.time_base:
            self.latest = max(self.latest, float((stamp + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index != self._video.stream.index or packet.is_discard:
            return
        self.counted = self.counted or packet.pts is None
        self.stamps.append(stamp if stamp is not None else len(self.stamps))
        if len(self.stamps) == 1:
            self.start = packet.dts if packet.dts is not None else self.stamps[0]
        if packet.is_keyframe:
            self.keys[self.stamps[-1]] = packet.dts if packet.dts is not None else self.stamps[-1]
        if len(self.stamps) > _MOST_FRAMES:
            raise refusal("VideoTooLong", f"{self._video.name}: more than {_MOST_FRAMES:,} frames; cut the video")


def index_of(video: Video) -> Index:
    """Reads all packets of a video; returns the index of its frames.

    Raises Fault `Local.VideoTooLong`, `Local.TruncatedVideo`, `Local.BrokenVideo`.
    """
    if video.seconds is not None and video.seconds > MAX_SECONDS:
        raise _too_long(video, video.seconds)
    scan = _Scan(video)
    with stopping_at_damage():
        for packet in video.container.demux():
            if packet.size:
                scan.take(packet)
    _check_end(video, scan.latest)
    if not scan.stamps:
        raise refusal("BrokenVideo", f"{video.name}: the video stream holds no frame")
    found = _index(video, scan)
    if found.duration > MAX_SECONDS:
        raise _too_long(video, found.duration)
    return found


def _index(video: Video, scan: _Scan) -> Index:
    rate = video.fps or 25.0
    if scan.counted:
        count = len(scan.stamps)
        stamps = array("q", range(count))
        none: array[int] = array("q")
        return Index(
            stamps=stamps,
            keys=none,
            decoded=none,
            start=scan.start,
            unit=1 / rate,
            counted=True,
            duration=count / rate,
        )
    stamps = array("q", sorted(set(scan.stamps)))
    unit = float(video.stream.time_base or 1)
    length = (stamps[-1] - stamps[0]) * unit
    last = length / (len(stamps) - 1) if len(stamps) > 1 else 1 / rate
    can_seek = video.container.format.name not in ("gif", "apng")
    keys = sorted(scan.keys) if can_seek else []
    return Index(
        stamps=stamps,
        keys=array("q", keys),
        decoded=array("q", (scan.keys[key] for key in keys)),
        start=scan.start,
        unit=unit,
        counted=False,
        duration=length + last,
    )


def _check_end(video: Video, latest: float) -> None:
    container = video.container
    if not container.duration or not container.format.name.startswith(_STATED):
        return
    stated = container.duration / 1_000_000
    there = latest - (container.start_time or 0) / 1_000_000
    if there < stated - max(0.5, 0.02 * stated):
        raise refusal(
            "TruncatedVideo",
            f"{video.name}: the file states {stated:.1f} s and ends after {max(0.0, there):.1f} s: the copy was cut "
            "off; get the whole file",
        )


def _too_long(video: Video, seconds: float) -> Exception:
    return refusal(
        "VideoTooLong",
        f"{video.name}: {seconds / 3600:.1f} hours; frames are taken from at most {MAX_SECONDS // 3600} hours; "
        "cut the video",
    )


THUMB_SIDE = 48

# Two frames are equal if none of their 48×48 cells differs by more than this, of 255. The noise of a video coder over a
# still picture stays below 6. A line of text that appears in a full-HD slide changes its cells by 20 and more.
_EQUAL_WITHIN = 8

# Changes are searched between this many candidates, or twice the wanted frames if that is more.
_MOST_CANDIDATES = 512
_LARGE = 0.25  # a change is large from this part of the largest change on
# Of a video with more frames, only key frames are candidates, if there are enough: coders set key frames at cuts.
_MOST_DECODED = 5_000


def evenly(index: Index, most: int) -> list[int]:
    """Returns the ordinals of at most `most` frames at even distances in time, with the first and the last frame.

    If `most` is 1, returns the frame in the middle.
    """
    count = len(index.stamps)
    if most >= count:
        return list(range(count))
    if most == 1:
        return [_nearest(index, (index.stamps[0] + index.stamps[-1]) / 2)]
    first, length = index.stamps[0], index.stamps[-1] - index.stamps[0]
    return sorted({_nearest(index, first + length * step / (most - 1)) for step in range(most)})


def candidates(index: Index, most: int) -> list[int]:
    """Returns the ordinals of the frames among which scene changes are searched.

    These are all frames of a short video, and frames at even distances in a longer video. In a video of more than
    _MOST_DECODED frames, these are key frames, if there are enough, with the first and the last frame.
    """
    wanted = max(_MOST_CANDIDATES, 2 * most)
    if len(index.stamps) <= _MOST_DECODED or len(index.keys) < max(most, 16):
        return evenly(index, wanted)
    keys = sorted({index.ordinal(key) for key in index.keys} | {0, len(index.stamps) - 1})
    return thinned(keys, wanted)


def after_changes(ordinals: Sequence[int], thumbs: Sequence[Image.Image], most: int) -> list[int]:
    """Returns the first, the last, and the frames after the largest changes between neighbours, in order.

    Returns `most` ordinals, or all ordinals if there are fewer. If `most` is 1, returns the first ordinal.
    """
    if len(ordinals) <= most:
        return list(ordinals)
    if most == 1:
        return [ordinals[0]]
    changes = {place: _mean(thumbs[place - 1], thumbs[place]) for place in range(1, len(ordinals) - 1)}
    largest = _largest(changes, most - 2, apart=len(ordinals) // (4 * most))
    return [ordinals[0], *(ordinals[place] for place in sorted(largest)), ordinals[-1]]


def _largest(changes: dict[int, float], most: int, apart: int) -> list[int]:
    """Returns the places of the `most` largest changes.

    Of large changes that are closer than `apart` to each other, the largest is taken first, so that one fast movement
    does not take all places. The other changes fill the places that are left.
    """
    ranked = sorted(changes, key=lambda place: (-changes[place], place))
    chosen: list[int] = []
    for place in ranked:
        is_large = changes[place] >= _LARGE * changes[ranked[0]]
        if len(chosen) < most and is_large and all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    rest = (place for place in ranked if place not in set(chosen))
    return [*chosen, *islice(rest, most - len(chosen))]


def distinct(thumbs: Sequence[Image.Image]) -> list[int]:
    """Returns the places of the pictures that do not nearly equal the last kept picture before them."""
    kept: list[int] = []
    for place, thumb in enumerate(thumbs):
        if not kept or not _equal(thumbs[kept[-1]], thumb):
            kept.append(place)
    return kept


def thinned(values: Sequence[int], most: int) -> list[int]:
    """Returns at most `most` of the values, evenly by place, with the first and the last value."""
    if len(values) <= most:
        return list(values)
    return [values[round(step * (len(values) - 1) / (most - 1))] for step in range(most)]


def repeated(values: Sequence[int], least: int) -> list[int]:
    """Returns the values; if there are too few, `least` values, in which each value is repeated about equally often."""
    if len(values) >= least:
        return list(values)
    return [values[round(step * (len(values) - 1) / (least - 1))] for step in range(least)]


def _nearest(index: Index, stamp: float) -> int:
    """Returns the ordinal of the frame that is shown nearest to a stamp; of two equally near frames, the earlier."""
    after = bisect_left(index.stamps, stamp)
    if after == 0:
        return 0
    if after == len(index.stamps):
        return after - 1
    return after - 1 if stamp - index.stamps[after - 1] <= index.stamps[after] - stamp else after


def _equal(one: Image.Image, other: Image.Image) -> bool:
    from PIL import ImageChops

    difference = ImageChops.difference(one, other)
    return all(high <= _EQUAL_WITHIN for _low, high in difference.getextrema())  # type: ignore[misc]


def _mean(one: Image.Image, other: Image.Image) -> float:
    from PIL import ImageChops, ImageStat

    return float(sum(ImageStat.Stat(ImageChops.difference(one, other)).mean))
