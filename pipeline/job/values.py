"""Values as people write and read them: durations, shares, near spellings, values in messages, cells of CSV.

The signs in FORMULA are those of OWASP's page "CSV Injection". A spreadsheet shows no apostrophe before a text.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

MOST = 40
"""Most characters of a value that are shown."""

_BEGINNINGS = re.compile(r"(?i)\b(?:sk-|bce-v3/|bearer\s|ghp_|hf_|akia|aiza)")
_UUID = re.compile(r"(?i)\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_PIECE = re.compile(r"[A-Za-z0-9]{16,}")


def looks_like_key(text: str) -> bool:
    """Tells whether a text may hold a secret key: the text has a known beginning of keys, a UUID, or a long piece of
    mixed letters and digits."""
    if _BEGINNINGS.search(text) or _UUID.search(text):
        return True
    pieces = _PIECE.findall(text)
    return any(not piece.isalpha() and not piece.isdigit() for piece in pieces)


def for_message(value: Any) -> str:
    """Returns a value for a message: a text in double quotes, numbers and truth values as TOML writes them, other
    values by their kind. A text that may hold a secret key is not shown."""
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
    """Returns at most MOST characters of a text, on one line."""
    line = "".join(character if character.isprintable() else " " for character in text[: MOST + 1])
    return line if len(line) <= MOST else line[:MOST] + "…"


_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_SCALES = (3600.0, 60.0, 1.0, 0.001)


def duration(value: float | str) -> float:
    """Returns the seconds of 90, "90", "90s", "1m30s", "2h" or "500ms". Raises ValueError for any other value, or below
    zero."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        text = str(value).strip().replace(" ", "")
        match = _DURATION.fullmatch(text)
        if match and any(match.groups()):
            seconds = sum(float(part) * scale for part, scale in zip(match.groups(), _SCALES, strict=True) if part)
        else:
            seconds = _number(text, value)
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"found {for_message(value)}, expected a duration such as 90, 90s, 10m or 1h30m")
    return seconds


def _number(text: str, value: Any) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"found {for_message(value)}, expected a duration such as 90, 90s, 10m or 1h30m") from None


def allowance(value: int | str, of: int) -> int:
    """Returns how many of `of` rows "1%" or 25 allows, rounded down. Raises ValueError for any other value, or below
    zero."""
    text = str(value).strip()
    try:
        count = int(float(text[:-1]) / 100 * of) if text.endswith("%") else int(text)
    except ValueError:
        raise ValueError(f"found {for_message(value)}, expected a count or a share such as 1%") from None
    if count < 0 or isinstance(value, bool):
        raise ValueError(f"found {for_message(value)}, expected a count or a share such as 1%")
    return count


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """Returns the name of `valid` that `name` most likely meant; None if no name is near."""
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Returns `; did you mean "x"?`, or an empty text."""
    near = nearest(name, valid)
    return f'; did you mean "{near}"?' if near else ""


FORMULA = "=+-@\t\r\n"


def inert(text: str) -> str:
    """Returns the text, with an apostrophe before a text that begins like a formula."""
    return f"'{text}" if text.startswith(tuple(FORMULA)) else text
