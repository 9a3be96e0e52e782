"""When each frame of a video is shown, by its packets alone, and which frames to take."""

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

# Longer videos than any service of the reference takes (two hours); the index of such a video is 25 MB at most.
MAX_SECONDS = 12 * 3600
_MOST_FRAMES = 3_000_000

# Containers whose header states how long the whole is; elsewhere FFmpeg guesses from the bit rate.
_STATED = ("mov", "matroska", "avi", "flv", "asf")


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """The frames in the order in which they are shown.

    `stamps`: when each is shown, in units of the stream, ascending; where the file states no times, 0, 1, 2 …
    `counted`: whether that is so. `keys`: the stamps from which decoding can begin, ascending; empty where it can only
    begin at the first frame. `decoded`: when each of `keys` is decoded, in the same units. `start`: when the first
    frame is decoded. `unit`: seconds of one unit. `duration`: seconds from the first frame to the end.
    """

    stamps: array[int]
    keys: array[int]
    decoded: array[int]
    start: int
    unit: float
    counted: bool
    duration: float

    def seconds(self, ordinal: int) -> float:
        """When a frame is shown, in seconds after the first one."""
        return (self.stamps[ordinal] - self.stamps[0]) * self.unit

    def ordinal(self, stamp: int) -> int:
        """The frame that is shown at a stamp, −1 before the first."""
        return bisect_right(self.stamps, stamp) - 1

    def key_before(self, ordinal: int) -> tuple[int, tuple[int, int]] | None:
        """The last key frame that is not after a frame, and what to seek for to come to it: when it is shown, as most
        containers take it, or when it is decoded. None: there is none."""
        place = bisect_right(self.keys, self.stamps[ordinal]) - 1
        return (self.ordinal(self.keys[place]), (self.keys[place], self.decoded[place])) if place >= 0 else None


class _Scan:
    """What the packets of a file say."""

    def __init__(self, video: Video) -> None:
        self.stamps: array[int] = array("q")
        self.keys: dict[int, int] = {}
        self.start = 0
        # AVI has no times of its own, and FFmpeg's guess is wrong where frames are stored in another order
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
    """Reads all packets. Raises Fault `Local.VideoTooLong`, `Local.TruncatedVideo`, `Local.BrokenVideo`."""
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

# Of 255, in the most changed of 48×48 cells. A video coder's own noise over a still picture stays below 6; a line of
# text that appears in a full-HD slide changes its cells by 20 and more.
_EQUAL_WITHIN = 8

# Candidates between which changes are looked for; above this many frames only key frames are, which coders set at cuts.
_MOST_CANDIDATES = 512
_LARGE = 0.25  # of the largest change
_MOST_DECODED = 5_000


def evenly(index: Index, most: int) -> list[int]:
    """At most `most` frames at even distances in time, the first and the last among them; of one, the middle."""
    count = len(index.stamps)
    if most >= count:
        return list(range(count))
    if most == 1:
        return [_nearest(index, (index.stamps[0] + index.stamps[-1]) / 2)]
    first, length = index.stamps[0], index.stamps[-1] - index.stamps[0]
    return sorted({_nearest(index, first + length * step / (most - 1)) for step in range(most)})


def candidates(index: Index, most: int) -> list[int]:
    """The frames among which scene changes are looked for: all of a short video, else an even choice of them."""
    wanted = max(_MOST_CANDIDATES, 2 * most)
    if len(index.stamps) <= _MOST_DECODED or len(index.keys) < max(most, 16):
        return evenly(index, wanted)
    keys = sorted({index.ordinal(key) for key in index.keys} | {0, len(index.stamps) - 1})
    return thinned(keys, wanted)


def after_changes(ordinals: Sequence[int], thumbs: Sequence[Image.Image], most: int) -> list[int]:
    """The first, the last, and the frames after the largest changes between neighbours, `most` in all, in order."""
    if len(ordinals) <= most:
        return list(ordinals)
    if most == 1:
        return [ordinals[0]]
    changes = {place: _mean(thumbs[place - 1], thumbs[place]) for place in range(1, len(ordinals) - 1)}
    largest = _largest(changes, most - 2, apart=len(ordinals) // (4 * most))
    return [ordinals[0], *(ordinals[place] for place in sorted(largest)), ordinals[-1]]


def _largest(changes: dict[int, float], most: int, apart: int) -> list[int]:
    """The places of the largest changes. Of large ones closer than `apart` the largest comes first, so that one fast
    movement does not take all."""
    ranked = sorted(changes, key=lambda place: (-changes[place], place))
    chosen: list[int] = []
    for place in ranked:
        is_large = changes[place] >= _LARGE * changes[ranked[0]]
        if len(chosen) < most and is_large and all(abs(place - other) >= apart for other in chosen):
            chosen.append(place)
    rest = (place for place in ranked if place not in set(chosen))
    return [*chosen, *islice(rest, most - len(chosen))]


def distinct(thumbs: Sequence[Image.Image]) -> list[int]:
    """The places of the pictures that are not nearly equal to the last one kept."""
    kept: list[int] = []
    for place, thumb in enumerate(thumbs):
        if not kept or not _equal(thumbs[kept[-1]], thumb):
            kept.append(place)
    return kept


def thinned(values: Sequence[int], most: int) -> list[int]:
    """At most `most` of the values, evenly by place, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(step * (len(values) - 1) / (most - 1))] for step in range(most)]


def repeated(values: Sequence[int], least: int) -> list[int]:
    """The values; where these are fewer than `least`, that many, each repeated as often as the others."""
    if len(values) >= least:
        return list(values)
    return [values[round(step * (len(values) - 1) / (least - 1))] for step in range(least)]


def _nearest(index: Index, stamp: float) -> int:
    """The frame whose moment is nearest to a stamp; of two, the earlier."""
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
