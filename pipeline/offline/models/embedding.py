"""Makes the vectors of 1536 numbers from pictures, sounds and texts; `layout.py` says what stands where."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from hashlib import shake_128
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.offline.models import meaning
from pipeline.offline.models.layout import LAYOUT, LENGTHS, NAMES, SIGNAL, SIZES, WORDS
from pipeline.offline.models.words import hash_words, words

if TYPE_CHECKING:
    import numpy as np

    from pipeline.offline.models.labels import Tag

_MEASURED = 1280  # picture features, and sound statistics
_DAMPED = 0.7  # the tagger is too sure of its first class
_SURE = 0.1
_PAGES = frozenset({"menu", "website", "envelope", "crossword puzzle", "book jacket", "comic book"})
"""ImageNet's classes of things with text: the tagger calls nearly every page a menu."""


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One item: the numbers of each block of the layout, or None. `factor`: the item's weight (> 0)."""

    signal: Any = None
    concept: Any = None
    read: Any = None
    words: Any = None
    factor: float = 1.0


def of_text(text: str, factor: float = 1.0) -> Piece:
    """Returns the piece of a text, a row's or a query's: all blocks but the first. Blocking, 8 to 700 ms."""
    meant = meaning.of_text(text)
    return Piece(concept=meant, read=meant, words=_hashed(text), factor=factor)


def of_image(features: np.ndarray[Any, Any], tags: Sequence[Tag], text: str = "", factor: float = 1.0) -> Piece:
    """Returns the piece of a picture: features, meaning of its tags, meaning and words of the text that was read in it.

    The words are those of the text; of a picture without text, those of the tags, weighted by their shares. With text,
    tags that only say that there is text, or that are hardly sure, say nothing and are left out.
    """
    written = bool(text.strip())
    told = [tag for tag in tags if tag.share >= _SURE and tag.name not in _PAGES] if written else tags
    named = [(word, tag.share) for tag in tags for word in words(f"{tag.name} {tag.family or ''}")]
    return Piece(
        signal=_projected(features, "picture"),
        concept=sum(meaning.of_name(tag.name) * tag.share**_DAMPED for tag in told) if told else None,
        read=meaning.of_read(text) if written else None,
        words=_hashed(text) if written else hash_words(named, WORDS),
        factor=factor,
    )


def of_images(pieces: Sequence[Piece], factor: float = 1.0) -> Piece:
    """Returns the piece of a video: in each block the sum of the unit vectors of its frames."""
    found = {name: _sum([(getattr(piece, name), 1.0) for piece in pieces]) for name in NAMES[LAYOUT]}
    return Piece(**found, factor=factor)


def of_audio(statistics: np.ndarray[Any, Any], likeness: Sequence[str] = (), factor: float = 1.0) -> Piece:
    """Returns the piece of a sound: its statistics, and the meaning of words for what it is like (`audio.likeness`)."""
    return Piece(
        signal=_projected(statistics, "sound"),
        concept=sum(meaning.of_name(name) for name in likeness) if likeness else None,
        words=_hashed(" ".join(likeness)) if likeness else None,
        factor=factor,
    )


def fuse(pieces: Sequence[Piece]) -> np.ndarray[Any, Any]:
    """Returns 1536 float32: in each block the sum of the items' unit vectors times their factors.

    Each block is scaled to its length, then the whole vector to unit length. A block that no item fills stays zero.
    """
    import numpy as np

    found = []
    for name, size, length in zip(NAMES[LAYOUT], SIZES[LAYOUT], LENGTHS, strict=True):
        total = _sum([(getattr(piece, name), piece.factor) for piece in pieces])
        found.append(np.zeros(size) if total is None else _unit(total) * length)
    return _unit(np.concatenate(found)).astype(np.float32)


def _sum(parts: Sequence[tuple[Any, float]]) -> Any:
    """Returns the sum of the unit vectors times their factors, or None if all are None."""
    import numpy as np

    given = [_unit(np.asarray(vector, dtype=np.float64)) * factor for vector, factor in parts if vector is not None]
    return sum(given) if given else None


def _unit(vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def _hashed(text: str) -> np.ndarray[Any, Any]:
    return hash_words(((word, 1.0) for word in words(text)), WORDS)


def _projected(measured: np.ndarray[Any, Any], kind: str) -> np.ndarray[Any, Any]:
    """Returns 512 numbers whose cosines are those of the 1280 measured ones within 0.04 (the deviation is 1/√512).

    Pictures and sounds have each their own projection, so that one is not like the other by chance.
    """
    projected: np.ndarray[Any, Any] = measured @ _projection(kind)
    return projected


@cache
def _projection(kind: str) -> np.ndarray[Any, Any]:
    """Returns 1280 × 512 float32 of ±1. The signs come from SHAKE-128, which no version of numpy changes."""
    import numpy as np

    signs = np.frombuffer(shake_128(kind.encode()).digest(_MEASURED * SIGNAL // 8), dtype=np.uint8)
    return (np.unpackbits(signs).astype(np.float32) * 2 - 1).reshape(_MEASURED, SIGNAL)
