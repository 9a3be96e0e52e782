"""Values of a job file as a message may show them: short, on one line, and without anything that may be a key."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

MOST = 40
"""Characters of a value that are shown."""

_BEGINNINGS = re.compile(r"(?i)\b(?:sk-|bce-v3/|bearer\s|ghp_|hf_|akia|aiza)")
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_PIECE = re.compile(r"[A-Za-z0-9]{16,}")


def looks_like_key(text: str) -> bool:
    """Whether a text may hold a key: it begins as known keys do, or has a long piece of letters and digits mixed."""
    if _BEGINNINGS.search(text) or _UUID.search(text):
        return True
    pieces = _PIECE.findall(text)
    return any(not piece.isalpha() and not piece.isdigit() for piece in pieces)


def for_message(value: Any) -> str:
    """What was found: a text in double quotes, numbers and truth values as TOML writes them, the rest by its kind."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        value = int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value
        return str(value) if len(str(value)) <= MOST else "a number"
    if isinstance(value, str):
        return "a text" if looks_like_key(value) else f'"{short(value)}"'
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, datetime.date):
        return "a date"
    return "a time" if isinstance(value, datetime.time) else f"a {type(value).__name__}"


def short(text: str) -> str:
    """At most MOST characters of a text, on one line."""
    line = "".join(character if character.isprintable() else " " for character in text[: MOST + 1])
    return line if len(line) <= MOST else line[:MOST] + "…"
