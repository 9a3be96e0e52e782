"""Which frames of a video to take: even ones, those after the largest changes, none nearly equal to the last."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from pipeline.media.video_index import Index

if TYPE_CHECKING:
    from PIL import Image

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
