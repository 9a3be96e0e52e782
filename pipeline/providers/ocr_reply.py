"""Reads what an OCR model gives beside text: words with positions, and text inside one code fence."""

from __future__ import annotations

import re
from typing import Any

from pipeline.types import Block

_FENCE = re.compile(r"\s*```([A-Za-z0-9_+-]*)[ \t]*\r?\n(.*?)\r?\n?```\s*", re.DOTALL)


def read_blocks(words: list[Any]) -> tuple[Block, ...]:
    """Blocks from `ocr_result.words_info`: `{text, location: [x1, y1, … x4, y4]}` in pixels of the picture that was
    sent (protocol reference §3.10). A location that is not eight numbers gives no polygon; what has no text is left
    out."""
    return tuple(
        Block(text=word["text"], score=_number(word.get("score")), polygon=_polygon(word.get("location")))
        for word in words
        if isinstance(word, dict) and isinstance(word.get("text"), str)
    )


def unfenced(text: str) -> tuple[str, dict[str, Any]]:
    """The text without its code fence, if the whole text is one fence and holds no other; and what to keep of it.

    Returns the text and, if a fence was taken away, `{"fence": language, "raw_text": text as given}`.
    """
    found = _FENCE.fullmatch(text)
    if found is None or "```" in found[2]:
        return text, {}
    return found[2], {"fence": found[1], "raw_text": text}


def _polygon(location: Any) -> tuple[tuple[float, float], ...] | None:
    if not isinstance(location, list) or len(location) != 8:
        return None
    numbers = [_number(value) for value in location]
    if any(value is None for value in numbers):
        return None
    flat = [value for value in numbers if value is not None]
    return tuple((flat[i], flat[i + 1]) for i in range(0, 8, 2))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
