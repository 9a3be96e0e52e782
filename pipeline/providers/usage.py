"""Reads token counts. What the service did not say is None, never 0 (protocol reference, traps 9–12, 17)."""

from __future__ import annotations

from typing import Any

from pipeline.types import Usage

_MEDIA = ("image_tokens", "video_tokens", "audio_tokens")


def read(value: Any) -> Usage:
    """Usage from a body's `usage`, under DashScope's native names or OpenAI's. Anything unexpected counts as not said.

    Picture, video and sound tokens are contained in the input tokens and are not added to them.
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
    """As `read`, for embeddings: there `input_tokens` may be of the texts alone, beside `image_tokens` that are larger
    (protocol reference §5.5, capture ds202__emb_new_plural); then the input is their sum."""
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
    """A count of tokens, None for anything that is none."""
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
