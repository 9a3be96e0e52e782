"""Finds pictures that look nearly the same: a 64-bit difference hash, checked by comparing small copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.media import render
from pipeline.media.probe import facts, open_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DISTANCE = 6
"""Bits of 64 in which two hashes may differ."""
ALIKE = 0.95
"""The least correlation of two small copies. Measured on the sample pictures: 0.98 and more for another JPEG quality or
brightness, mostly 0.97 for another size, at most 0.90 for pages of different text in one layout."""
FLAT, LEVELS = 2.0, 6.0
"""A small copy whose levels deviate less than FLAT is a plain colour. Two of them are alike within LEVELS, of 255."""
SIDE = 24
"""The side in pixels of a small copy."""

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

    A picture joins the first group whose first picture is near: a chain of small steps makes no group. Every picture is
    compared with the first picture of every group.
    """
    leaders = _Leaders(len(pictures))
    members: list[list[int]] = []
    for index, picture in enumerate(pictures):
        place = leaders.find_or_add(picture)
        if place == len(members):
            members.append([])
        members[place].append(index)
    return [group for group in members if len(group) > 1]


class _Leaders:
    """The first pictures of up to `most` groups, in arrays: 20,000 pictures are compared in some seconds."""

    def __init__(self, most: int) -> None:
        import numpy as np

        self._count = 0
        self._bits = np.empty(most, np.uint64)
        self._level = np.empty(most, np.float32)
        self._flat = np.empty(most, np.bool_)
        self._shape = np.empty((most, SIDE * SIDE), np.float32)  # the small copies: mean 0, length 1

    def find_or_add(self, picture: Seen) -> int:
        """Returns the number of the first group whose leader is near. Makes the picture a leader if there is none."""
        import numpy as np

        bits = np.uint64(picture.bits)
        small = np.frombuffer(picture.small, np.uint8).astype(np.float32)
        level, flat = small.mean(), bool(small.std() < FLAT)
        shape = (small - level) / max(float(np.linalg.norm(small - level)), 1e-6)
        near = np.flatnonzero(_ones(self._bits[: self._count] ^ bits) <= DISTANCE)
        if flat:
            near = near[self._flat[near] & (np.abs(self._level[near] - level) <= LEVELS)]
        elif len(near):
            many = len(near) * 4 > self._count
            alike = (self._shape[: self._count] @ shape)[near] if many else self._shape[near] @ shape
            near = near[(alike >= ALIKE) & ~self._flat[near]]
        if len(near):
            return int(near[0])
        here, self._count = self._count, self._count + 1
        self._bits[here], self._level[here], self._flat[here], self._shape[here] = bits, level, flat, shape
        return here


def _ones(words: NDArray[np.uint64]) -> NDArray[np.integer[Any]]:
    """Returns the number of bits that are set in each word (Hacker's Delight, 5-1). NumPy has this from 2.0 on."""
    pairs = words - (words >> 1 & 0x5555555555555555)
    fours = (pairs & 0x3333333333333333) + (pairs >> 2 & 0x3333333333333333)
    eights: NDArray[np.integer[Any]] = (fours + (fours >> 4)) & 0x0F0F0F0F0F0F0F0F
    return eights * 0x0101010101010101 >> 56  # the product wraps: its highest byte is the sum
