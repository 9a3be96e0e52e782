"""Chooses the frames to take out of a video: evenly in time, or at scene changes, without nearly equal neighbours."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from pipeline.media.video_index import Index

if TYPE_CHECKING:
    from PIL import Image

THUMB_SIDE = 48
"""Pixels of each side of the small picture by which a frame is compared with others."""

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
