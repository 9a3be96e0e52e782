"""Finds pictures that look nearly the same: a 64-bit difference hash, checked by comparing small copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from pipeline.media import render
from pipeline.media.probe import facts, open_image

DISTANCE = 6
"""Bits of 64 in which two hashes may differ."""
ALIKE = 0.95
"""The least correlation of two small copies. Measured on the sample pictures: 0.98 and more for another JPEG quality or
brightness, mostly 0.97 for another size, at most 0.90 for pages of different text in one layout."""
FLAT, LEVELS = 2.0, 6.0
"""A small copy whose levels deviate less than FLAT is a plain colour. Two of them are alike within LEVELS, of 255."""
SIDE = 24
"""The side in pixels of a small copy."""

_BANDS = DISTANCE + 1
_HASH = (9, 8)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared of a picture. bits: its difference hash. small: SIDE × SIDE levels of grey, 0 to 255."""

    bits: int
    small: bytes


def seen(body: bytes, name: str) -> Seen:
    """Returns what is compared of a picture, upright. Blocking. Raises Fault for a picture that cannot be read."""
    canvas = render.decoded(body, name, facts(open_image(body, name)), (2 * SIDE, 2 * SIDE))
    return Seen(bits=_difference_bits(canvas.levels(*_HASH)), small=canvas.levels(SIDE, SIDE))


def _difference_bits(levels: bytes) -> int:
    """Returns 64 bits: whether each of 8 × 8 places is darker than the one to its right."""
    width, height = _HASH
    bits = 0
    for row in range(height):
        for place in range(row * width, (row + 1) * width - 1):
            bits = bits << 1 | (levels[place] < levels[place + 1])
    return bits


def groups(pictures: Sequence[Seen]) -> list[list[int]]:
    """Returns the groups of near-equal pictures as indices, in the order of their first pictures.

    A picture joins the first group whose first picture is near: a chain of small steps makes no group.
    """
    found: list[list[int]] = []
    near = _Near()
    for index, picture in enumerate(pictures):
        place = near.find(picture)
        if place is None:
            near.add(picture, len(found))
            found.append([index])
        else:
            found[place].append(index)
    return [members for members in found if len(members) > 1]


class _Near:
    """Finds the first group whose first picture is near. Of two hashes that differ in DISTANCE bits, one of _BANDS
    slices is equal: only such pictures are compared."""

    def __init__(self) -> None:
        self._leaders: list[Seen] = []
        self._places: list[int] = []
        self._bands: list[dict[int, list[int]]] = [defaultdict(list) for _ in range(_BANDS)]

    def add(self, picture: Seen, place: int) -> None:
        for band, slice_ in enumerate(_slices(picture.bits)):
            self._bands[band][slice_].append(place)
        self._leaders.append(picture)

    def find(self, picture: Seen) -> int | None:
        tried: set[int] = set()
        for band, slice_ in enumerate(_slices(picture.bits)):
            tried.update(self._bands[band].get(slice_, ()))
        return next((place for place in sorted(tried) if _is_near(self._leaders[place], picture)), None)


def _slices(bits: int) -> list[int]:
    width = -(-64 // _BANDS)
    return [bits >> band * width & (1 << width) - 1 for band in range(_BANDS)]


def _is_near(one: Seen, other: Seen) -> bool:
    if (one.bits ^ other.bits).bit_count() > DISTANCE:
        return False
    import numpy as np

    left, right = (np.frombuffer(picture.small, np.uint8).astype(np.float64) for picture in (one, other))
    if left.std() < FLAT or right.std() < FLAT:
        return bool(left.std() < FLAT and right.std() < FLAT and abs(left.mean() - right.mean()) <= LEVELS)
    return bool(np.corrcoef(left, right)[0, 1] >= ALIKE)
