"""1-bit codes of vectors: a code tells about how large the dot product of its vector with any other vector is.

A vector less the mean is rotated by a fixed random rotation and kept as the signs of its numbers, with one factor that
makes the estimate of a dot product unbiased. The idea is that of RaBitQ (Gao and Long, SIGMOD 2024). Without the
rotation, sparse vectors and vectors with blocks of zeros have many equal bits.
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

VERSION = 1
"""Of the rotation and the codes. Codes of another version are made again."""
_BLOCK = 512
"""Numbers that one Hadamard transform mixes."""
_SEED = 20_240_609


class Rotation:
    """A fixed random rotation of vectors with `dimension` numbers, into `width` numbers (a multiple of 64)."""

    def __init__(self, dimension: int) -> None:
        import numpy as np

        block = min(_BLOCK, max(64, 1 << (dimension - 1).bit_length()))
        self.dimension = dimension
        self.width = -(-dimension // block) * block
        # RandomState, since its numbers are the same in every version of numpy.
        random = np.random.RandomState(_SEED)
        self._signs = [(random.randint(0, 2, self.width) * 2 - 1).astype(np.float32) for _ in range(2)]
        self._order = random.permutation(self.width)
        high = 1 << (block.bit_length() // 2)
        self._shape = (self.width // block, high, block // high)
        self._left, self._right = _hadamard(high), _hadamard(block // high)

    def __call__(self, vectors: Array) -> Array:
        """Returns the rotated vectors, float32 of shape (rows, width). Lengths and dot products stay."""
        import numpy as np

        wide = np.zeros((len(vectors), self.width), np.float32)
        wide[:, : self.dimension] = vectors
        first = self._mixed(wide * self._signs[0])
        return self._mixed(first[:, self._order] * self._signs[1])

    def _mixed(self, wide: Array) -> Array:
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


@functools.cache
def rotation(dimension: int) -> Rotation:
    """Returns the rotation for vectors of this many numbers."""
    return Rotation(dimension)


def encode(vectors: Array, mean: Array) -> tuple[Array, Array]:
    """Returns (codes, factors) of float32 vectors of shape (rows, dimension).

    codes: uint64 of shape (rows, width / 64). factors: float32. A vector's dot product with a query is about a constant
    + `factor × Σ ±rotated query`, with the signs of the code. A vector that equals the mean has the factor 0.
    """
    import numpy as np

    turned = rotation(vectors.shape[1])(vectors - mean)
    spread = np.abs(turned).sum(axis=1)
    squares = np.einsum("ij,ij->i", turned, turned)
    factors = np.divide(squares, spread, out=np.zeros_like(spread), where=spread > 0)
    return _packed(turned), factors.astype(np.float32)


def query_code(query: Array) -> Array:
    """Returns the code of a query, float32 of shape (dimension,): uint64 of shape (width / 64,)."""
    code: Array = _packed(rotation(len(query))(query[None]))[0]
    return code


def _packed(turned: Array) -> Array:
    import numpy as np

    packed: Array = np.packbits(turned > 0, axis=1).view(np.uint64)
    return packed


def order_keys(codes: Array, factors: Array, query: Array) -> Array:
    """Returns a number for each code, float32, which is about the larger the larger the dot product of the code's
    vector with the query is.

    codes: uint64 of shape (width / 64, rows). query: as `query_code` returns it.
    """
    import numpy as np

    words, rows = codes.shape
    differing = np.empty(rows, np.uint16)
    parts = [slice(start, min(start + _CHUNK, rows)) for start in range(0, rows, _CHUNK)]
    work = functools.partial(_count, codes, query, differing)
    if len(parts) < 4:
        for part in parts:
            work(part)
    else:
        list(_threads().map(work, parts))
    keys: Array = factors * (np.float32(64 * words) - 2 * differing.astype(np.float32))
    return keys


_CHUNK = 8_192
"""Rows that are counted at once: their words fit in the processor's cache."""


def _count(codes: Array, query: Array, differing: Array, part: slice) -> None:
    import numpy as np

    words = codes[:, part] ^ query[:, None]
    np.add.reduce(_bits(words), axis=0, dtype=np.uint16, out=differing[part])


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
