"""1-bit codes of vectors: a code tells about how large the dot product of its vector with any other vector is.

A vector less the mean is rotated by a fixed random rotation and kept as the signs of its numbers, with one factor that
makes the estimate of a dot product unbiased. The idea is that of RaBitQ (Gao and Long, SIGMOD 2024). Without the
rotation, sparse vectors have many equal bits.

Vectors may be made of blocks, as those of the embedded service are. Each block is then rotated by itself and has a
factor of its own, and a query that leaves a block zero is compared by the other blocks alone: of 100,000 vectors, a
text finds 85 % of the ten nearest pictures without this, and 98 % with it (tests/bench/bench_search.py).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

VERSION = 2
"""Of the rotation and the codes. Codes of another version are made again."""
_WORD = 64
_MIXED = 512
"""Numbers that one Hadamard transform mixes, at most."""
_SEED = 20_240_609
_PLANES = 4
"""Bits in which a query's numbers are compared."""
_CHUNK = 8_192
"""Rows that are counted at once: their words fit in the processor's cache."""


class Rotation:
    """A fixed random rotation of vectors with `dimension` numbers, into `width` numbers (a multiple of 64)."""

    def __init__(self, dimension: int) -> None:
        import numpy as np

        self.dimension = dimension
        self.width = -(-dimension // _WORD) * _WORD
        mixed = next(size for size in (_MIXED, 256, 128, 64) if self.width % size == 0)
        # RandomState, since its numbers are the same in every version of numpy.
        random = np.random.RandomState(_SEED)
        self._signs = [(random.randint(0, 2, self.width) * 2 - 1).astype(np.float32) for _ in range(2)]
        self._order = random.permutation(self.width)
        high = 1 << (mixed.bit_length() // 2)
        self._shape = (self.width // mixed, high, mixed // high)
        self._left, self._right = _hadamard(high), _hadamard(mixed // high)

    def __call__(self, vectors: Array) -> Array:
        """Returns the rotated vectors, float32 of shape (rows, width). Lengths and dot products stay."""
        import numpy as np

        wide = np.zeros((len(vectors), self.width), np.float32)
        wide[:, : self.dimension] = vectors
        first = self._mix(wide * self._signs[0])
        return self._mix(first[:, self._order] * self._signs[1])

    def _mix(self, wide: Array) -> Array:
        blocks = wide.reshape(len(wide), *self._shape)
        mixed: Array = (self._left @ blocks @ self._right).reshape(len(wide), self.width)
        return mixed


def _hadamard(size: int) -> Array:
    """Returns the Hadamard matrix of this size (a power of two), with rows of length 1."""
    import numpy as np

    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    unit: Array = (matrix / np.sqrt(size)).astype(np.float32)
    return unit


class BlockQuery(NamedTuple):
    """One block of a query as codes are compared with it.

    `words`: the signs of the rotated query, uint64. `planes`: the rotated query in steps of `step` from `least` on, one
    array of words for each bit of the number of steps. `scale`: the mean size of the rotated numbers. `total`: their
    sum.
    """

    words: Array
    planes: list[Array]
    scale: float
    step: float
    least: float
    total: float

    @classmethod
    def of(cls, turned: Array) -> BlockQuery | None:
        """Returns the query of a rotated block; None for a block of zeros, which is not compared."""
        import numpy as np

        most = float(np.abs(turned).max())
        if not most:
            return None
        step = 2 * most / (2**_PLANES - 1)
        steps = np.rint((turned + most) / step).astype(np.uint8)
        planes = [np.packbits((steps >> bit) & 1).view(np.uint64) for bit in range(_PLANES)]
        return cls(_packed(turned), planes, float(np.abs(turned).mean()), step, -most, float(turned.sum()))


class Codec:
    """Makes and compares the codes of vectors that are made of blocks. `sizes`: the numbers of each block."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._rotations = [Rotation(size) for size in sizes]
        self._places: list[slice] = []
        self._word_places: list[slice] = []
        start = word = 0
        for rotation in self._rotations:
            self._places.append(slice(start, start + rotation.dimension))
            self._word_places.append(slice(word, word + rotation.width // _WORD))
            start, word = start + rotation.dimension, word + rotation.width // _WORD
        self.words = word

    def encode(self, vectors: Array, mean: Array) -> tuple[Array, Array]:
        """Returns (codes, factors) of float32 vectors of shape (rows, dimension).

        codes: uint64 of shape (rows, words). factors: float32 of shape (rows, blocks). A vector's dot product with a
        query is about a constant + the sum over the blocks of `factor × Σ ±rotated query`, with the signs of the code.
        A block that equals the mean has the factor 0.
        """
        import numpy as np

        pieces, factors = [], []
        for rotation, place in zip(self._rotations, self._places, strict=True):
            turned = rotation(vectors[:, place] - mean[place])
            spread = np.abs(turned).sum(axis=1)
            squares = np.einsum("ij,ij->i", turned, turned)
            factors.append(np.divide(squares, spread, out=np.zeros_like(spread), where=spread > 0))
            pieces.append(_packed(turned))
        return np.concatenate(pieces, axis=1), np.stack(factors, axis=1).astype(np.float32)

    def query(self, query: Array) -> list[BlockQuery | None]:
        """Returns the blocks of a query, float32 of shape (dimension,), for the comparison with codes."""
        pairs = zip(self._rotations, self._places, strict=True)
        return [BlockQuery.of(rotation(query[None, place])[0]) for rotation, place in pairs]

    def order_keys(
        self, codes: Array, factors: Array, query: Sequence[BlockQuery | None], *, fine: bool = False
    ) -> Array:
        """Returns a number for each code, float32, which is about the larger the larger the dot product of the code's
        vector with the query is.

        codes: of shape (words, rows). factors: of shape (blocks, rows). fine: compares with the query's numbers, not
        with their signs alone, which takes five times as long.
        """
        import numpy as np

        rows = codes.shape[1]
        keys = np.zeros(rows, np.float32)
        parts = [slice(start, min(start + _CHUNK, rows)) for start in range(0, rows, _CHUNK)]
        work = functools.partial(self._add, codes, factors, query, keys, _fine if fine else _coarse)
        if len(parts) == 1:
            work(parts[0])
        else:
            list(_threads().map(work, parts))
        return keys

    def _add(
        self, codes: Array, factors: Array, query: Sequence[BlockQuery | None], keys: Array, compare: Any, part: slice
    ) -> None:
        for number, (block, place) in enumerate(zip(query, self._word_places, strict=True)):
            if block is not None:
                keys[part] += compare(codes[place, part], block) * factors[number, part]


def _coarse(codes: Array, block: BlockQuery) -> Array:
    """Returns Σ ±query for each code, with the query's numbers all as large as their mean."""
    import numpy as np

    differing = _count(codes ^ block.words[:, None])
    signs: Array = (_WORD * len(codes) - 2 * differing) * np.float32(block.scale)
    return signs


def _fine(codes: Array, block: BlockQuery) -> Array:
    """Returns Σ ±query for each code, with the query's numbers in steps."""
    import numpy as np

    steps = sum(2**bit * _count(codes & plane[:, None]) for bit, plane in enumerate(block.planes))
    ones = np.float32(block.step) * steps + np.float32(block.least) * _count(codes)
    signs: Array = 2 * ones - np.float32(block.total)
    return signs


def _count(words: Array) -> Array:
    """Returns the number of set bits of each column, float32."""
    import numpy as np

    counted: Array = np.add.reduce(_bits(words), axis=0, dtype=np.uint16).astype(np.float32)
    return counted


def _packed(turned: Array) -> Array:
    import numpy as np

    packed: Array = np.packbits(turned > 0, axis=-1).view(np.uint64)
    return packed


def _bits(words: Array) -> Array:
    """Returns the number of set bits of each word, uint8."""
    import numpy as np

    counted: Array
    if hasattr(np, "bitwise_count"):  # from numpy 2.0 on
        counted = np.bitwise_count(words)
    else:
        table = np.array([byte.bit_count() for byte in range(256)], np.uint8)
        bytes_ = np.ascontiguousarray(words).view(np.uint8).reshape(*words.shape, 8)
        counted = table[bytes_].sum(axis=-1, dtype=np.uint8)
    return counted


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """The threads that count; numpy holds no lock while it counts."""
    return ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="search")
