"""Finds from the packets of a video when each frame is shown. Decodes no frame."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import refusal
from pipeline.media.video_file import Video, stopping_at_damage

if TYPE_CHECKING:
    from av.packet import Packet

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
