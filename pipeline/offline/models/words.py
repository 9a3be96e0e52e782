"""Words of a text for hashing: Latin words in lower case without plural s, and pairs of CJK characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]+")
_EMPTY = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "and", "or", "with", "to", "is", "are", "it", "for", "from", "by"}
)


def words(text: str) -> Iterator[str]:
    """The words that count, in order, repeats kept. A text without any yields itself, so that none hashes to zero."""
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
