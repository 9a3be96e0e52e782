"""Makes the vectors of 1536 numbers: 1280 numbers of image features or audio statistics, and 256 of hashed words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np

    from pipeline.offline.models.labels import Tag

SIGNAL = 1280
HASHED = 256
DIMENSION = SIGNAL + HASHED


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One item. `signal`: 1280 numbers or None. `hashed`: 256 numbers or None. `factor`: the item's weight (> 0)."""

    signal: Any = None
    hashed: Any = None
    factor: float = 1.0


def hash_words(weighted: Iterable[tuple[str, float]]) -> np.ndarray[Any, Any]:
    """Returns 256 float64. A number counts as a word.

    Each word adds its weight, with a sign, at a place that the BLAKE2b hash of the word decides. The word adds half of
    its weight at three more places: with one place alone, 1,500 numbers have only 512 different vectors.
    """
    import numpy as np

    vector = np.zeros(HASHED)
    for word, weight in weighted:
        first = blake2b(word.encode(), digest_size=4).digest()
        vector[first[0]] += weight if first[1] & 1 else -weight
        more = blake2b(word.encode(), digest_size=6, person=b"more").digest()
        for place, sign in zip(more[:3], more[3:], strict=True):
            vector[place] += weight / 2 if sign & 1 else -weight / 2
    return vector


def of_text(text: str, factor: float = 1.0) -> Piece:
    """Returns the piece of a text, which fills the second block only."""
    return Piece(hashed=hash_words((word, 1.0) for word in words(text)), factor=factor)


def of_image(features: np.ndarray[Any, Any], tags: Sequence[Tag], factor: float = 1.0) -> Piece:
    """Returns the piece of a picture: features in the first block, tags, weighted by their shares, in the second."""
    weighted = [(word, tag.share) for tag in tags for word in words(f"{tag.name} {tag.family or ''}")]
    return Piece(signal=features, hashed=hash_words(weighted), factor=factor)


def of_images(seen: Sequence[tuple[np.ndarray[Any, Any], Sequence[Tag]]], factor: float = 1.0) -> Piece:
    """Returns the piece of a video: in each block the sum of the unit vectors of its frames."""
    pieces = [of_image(features, tags) for features, tags in seen]
    return Piece(
        signal=sum(_unit(piece.signal) for piece in pieces),
        hashed=sum(_unit(piece.hashed) for piece in pieces),
        factor=factor,
    )


def of_audio(statistics: np.ndarray[Any, Any], factor: float = 1.0) -> Piece:
    """Returns the piece of a sound, which fills the first block only."""
    return Piece(signal=statistics, factor=factor)


def fuse(pieces: Sequence[Piece]) -> np.ndarray[Any, Any]:
    """Returns 1536 float32: in each block the sum of the items' unit vectors times their factors.

    Each block is scaled to unit length, then the whole vector. A block that no item fills stays zero.
    """
    import numpy as np

    blocks = [
        _block([(piece.signal, piece.factor) for piece in pieces], SIGNAL),
        _block([(piece.hashed, piece.factor) for piece in pieces], HASHED),
    ]
    return _unit(np.concatenate(blocks)).astype(np.float32)


def _block(parts: Sequence[tuple[Any, float]], size: int) -> np.ndarray[Any, Any]:
    import numpy as np

    total = np.zeros(size)
    for vector, factor in parts:
        if vector is not None:
            total += _unit(np.asarray(vector, dtype=np.float64)) * factor
    return _unit(total)


def _unit(vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_EMPTY = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "and", "or", "with", "to", "is", "are", "it", "for", "from", "by"}
)


def words(text: str) -> Iterator[str]:
    """Yields the words that count, in order, with repeats.

    A text without such words yields the whole text, so that its vector is not zero.
    """
    found = False
    for match in _WORD.finditer(text.lower()):
        for word in _split(match.group()):
            if word not in _EMPTY:
                found = True
                yield word
    if not found and text.strip():
        yield text.strip().lower()


def _split(word: str) -> Iterator[str]:
    end = 0
    for run in _CJK.finditer(word):
        if run.start() > end:
            yield _singular(word[end : run.start()])
        characters = run.group()
        yield from (characters[i : i + 2] for i in range(max(1, len(characters) - 1)))
        end = run.end()
    if end < len(word):
        yield _singular(word[end:])


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
