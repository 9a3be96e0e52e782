"""The words and numbers of a text, and their hashes as a vector."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_NUMBER_WEIGHT = 3.0  # a number says more about a receipt than a word does; a text model hardly knows numbers
_PLACES = 4


def hash_words(weighted: Iterable[tuple[str, float]], size: int) -> np.ndarray[Any, Any]:
    """Returns `size` float64. Each word counts once, with its greatest weight; words with digits count threefold.

    A word adds its weight, with a sign, at a place that its BLAKE2b hash decides, and half of its weight at three more
    places: with one place alone, most pairs of long texts would share places by chance.
    """
    import numpy as np

    greatest: dict[str, float] = {}
    for word, weight in weighted:
        greatest[word] = max(weight, greatest.get(word, 0.0))
    vector = np.zeros(size)
    for word, weight in greatest.items():
        amount = weight * _NUMBER_WEIGHT if any(sign.isdigit() for sign in word) else weight
        hashed = blake2b(word.encode("utf-8", "replace"), digest_size=4 * _PLACES).digest()
        for index in range(_PLACES):
            place = int.from_bytes(hashed[4 * index : 4 * index + 4], "big")
            share = amount if index == 0 else amount / 2
            vector[(place >> 1) % size] += share if place & 1 else -share
    return vector


_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_EMPTY = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "and", "or", "with", "to", "is", "are", "it", "for", "from", "by"}
)


def words(text: str) -> Iterator[str]:
    """Yields the words that count, in order, with repeats. A number counts as a word.

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
