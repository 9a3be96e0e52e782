"""Reads the fields that the replies of all protocols share: the finish reason, token counts, words with positions."""

from __future__ import annotations

import re
from typing import Any

from pipeline.errors import Fault
from pipeline.types import Block, Usage

FILTERED = frozenset({"blocklist", "content_filter", "prohibited_content", "safety"})
"""The finish reasons of filters, in lower case. `content_filter` is written by OpenAI, DashScope and Qianfan. The other
reasons are Gemini's FinishReason, passed on by gateways."""

FAILED = "error"
"""The finish reason that OpenRouter writes if the service behind OpenRouter failed during the answer."""


OPEN = (None, "null", "")
"""Finish reasons of an unfinished answer. DashScope writes the string "null" until the end (PROTOCOLS.md trap 3)."""


def later(before: str | None, reason: object) -> str | None:
    """Returns the later of two finish reasons in one stream. The reason of a filter is never replaced."""
    if reason in OPEN or not isinstance(reason, str) or (before is not None and before.lower() in FILTERED):
        return before
    return reason


def judged(reason: str | None, *, needed: bool) -> Fault | None:
    """Returns the fault for an answer with this finish reason, or None for a good answer.

    needed: an answer without a reason is a fault, because it may be a part of an answer. DashScope ends a whole answer
    at 300 s (PROTOCOLS.md trap 55).
    """
    if reason is None:
        return partial() if needed else None
    if reason.lower() in FILTERED:
        return Fault("blocked", reason, "the service's content filter ended the answer")
    if reason.lower() == FAILED:
        return Fault("transient", FAILED, "the service ended the answer with an error", retry="yes")
    return None


def partial() -> Fault:
    """Returns the fault for an answer without a finish reason."""
    return Fault("suspect", "Local.Partial", "the answer came without a finish reason, so it may be a part only")


_MEDIA = ("image_tokens", "video_tokens", "audio_tokens")


def read(value: Any) -> Usage:
    """Returns the usage from the `usage` of a body, which has DashScope's native names or OpenAI's names.

    Any unexpected value counts as not stated. The input tokens already include the picture, video and sound tokens.
    """
    if not isinstance(value, dict):
        return Usage()
    details = _first_table(value, "input_tokens_details", "prompt_tokens_details")
    cached = _first_table(value, "prompt_tokens_details", "input_tokens_details")
    media = _media(value)
    return Usage(
        input_tokens=_first(value, "input_tokens", "prompt_tokens"),
        output_tokens=_first(value, "output_tokens", "completion_tokens"),
        media_tokens=media if media is not None else _media(details),
        audio_tokens=count(value["audio_tokens"] if "audio_tokens" in value else details.get("audio_tokens")),
        cached_tokens=count(cached.get("cached_tokens")),
        written_tokens=count(cached.get("cache_creation_input_tokens")),
        input_units=count(value.get("total_usage")),
    )


def read_embedding(value: Any) -> Usage:
    """Returns the usage of an embedding answer.

    There, `input_tokens` may count the texts alone, beside larger `image_tokens` (PROTOCOLS.md §5.5, capture
    ds202__emb_new_plural). In that case the input is the sum of both.
    """
    found = read(value)
    total = found.input_tokens
    if total is not None and found.media_tokens is not None and found.media_tokens > total:
        total += found.media_tokens
    return Usage(
        input_tokens=total,
        output_tokens=found.output_tokens,
        media_tokens=found.media_tokens,
        audio_tokens=found.audio_tokens,
        cached_tokens=found.cached_tokens,
        written_tokens=found.written_tokens,
        input_units=found.input_units,
    )


def count(value: Any) -> int | None:
    """Returns a value as a number of tokens, or None if the value is not a token count."""
    if type(value) is not int and type(value) is not float:
        return None
    return int(value) if 0 <= value < 2**53 else None


def _first(table: dict[str, Any], *names: str) -> int | None:
    for name in names:
        if name in table and (found := count(table[name])) is not None:
            return found
    return None


def _first_table(table: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        found = table.get(name)
        if found and isinstance(found, dict):
            return found
    return {}


def _media(table: dict[str, Any]) -> int | None:
    total: int | None = None
    for name in _MEDIA:
        if name in table and (found := count(table[name])) is not None:
            total = found + (total or 0)
    return total


_FENCE = re.compile(r"\s*```([A-Za-z0-9_+-]*)[ \t]*\r?\n(.*?)\r?\n?```\s*", re.DOTALL)


def read_blocks(words: list[Any]) -> tuple[Block, ...]:
    """Returns blocks from `ocr_result.words_info`: `{text, location: [x1, y1, … x4, y4]}`.

    Locations are in pixels of the picture that was sent (PROTOCOLS.md §3.10). A location that is not eight numbers
    gives no polygon. An entry without text is left out.
    """
    return tuple(
        Block(text=word["text"], score=_number(word.get("score")), polygon=_polygon(word.get("location")))
        for word in words
        if isinstance(word, dict) and isinstance(word.get("text"), str)
    )


def unfenced(text: str) -> tuple[str, dict[str, Any]]:
    """Removes the code fence if the whole text is one fence and holds no other fence.

    Returns the text and, if a fence was removed, `{"fence": language, "raw_text": text as given}`, else `{}`.
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
