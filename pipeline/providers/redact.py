"""Makes text from outside fit to be shown: no key, no picture data, no URL signature, bounded."""

from __future__ import annotations

import re
from typing import Any

from pipeline.types import Secret

MAX_MESSAGE = 2_000
MAX_EXCERPT = 200

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"data:([\w.+-]{1,60}/[\w.+-]{1,60})?(;[\w=.-]{1,60}){0,4},?[A-Za-z0-9+/=_%-]*"), "data:…"),
    (re.compile(r"(?i)\bbearer\s+[^\s\"',]+"), "Bearer …"),
    (re.compile(r"\bbce-v3/[^\s\"',]+"), "bce-v3/…"),
    (re.compile(r"\bsk-[A-Za-z0-9_*.-]{4,}"), "sk-…"),
    (re.compile(r"(https?://[^\s\"'<>?#]{1,2000})\?[^\s\"'<>]*"), r"\1?…"),
    (re.compile(r"[A-Za-z0-9+/_-]{200,}={0,2}"), "…"),
)

_SHORTEST_KEY = 8
_keys: set[str] = set()


def hide(key: Secret) -> str:
    """The key, for a header; from now on `clean` takes it out of whatever a service says back, in any spelling."""
    value = key.reveal()
    if len(value) >= _SHORTEST_KEY:
        _keys.add(value)
    return value


def clean(text: str, limit: int = MAX_MESSAGE) -> str:
    """`text` without keys, picture data and URL queries (they may sign), on one line, at most `limit` characters."""
    shown = text[: 4 * limit + 4_000]
    for key in _keys:
        shown = shown.replace(key, "…")
    for pattern, replacement in _RULES:
        shown = pattern.sub(replacement, shown)
    shown = " ".join("".join(c if c.isprintable() else " " for c in shown).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def excerpt(body: bytes) -> str:
    """The first bytes of a body as text for a message: at most 200 characters, cleaned."""
    return clean(body[:4_096].decode("utf-8", "replace"), MAX_EXCERPT)


def without_data(value: Any) -> Any:
    """A JSON value with every `data:` string replaced by `data:…`, for `Reply.extra`."""
    if isinstance(value, str):
        return "data:…" if value.startswith("data:") else value
    if isinstance(value, dict):
        return {key: without_data(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_data(item) for item in value]
    return value
