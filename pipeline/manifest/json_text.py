"""JSON as other programs write it."""

from __future__ import annotations

import json
import re

import msgspec

# Texts are matched whole, so that what stands inside them stays.
_NONE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|(?<![\w.+-])-?(?:NaN|Infinity)(?![\w.])', re.DOTALL)


def without_none(text: bytes) -> bytes | None:
    """JSON with null for NaN, Infinity and -Infinity, which Python, pandas and JavaScript tools write for numbers that
    are none; None where it has none of them outside texts."""
    if b"NaN" not in text and b"Infinity" not in text:
        return None
    count = 0

    def null(match: re.Match[bytes]) -> bytes:
        nonlocal count
        if match[0].startswith(b'"'):
            return match[0]
        count += 1
        return b"null"

    found = _NONE.sub(null, text)
    return found if count else None


def spans_lines(head: bytes) -> bool:
    """Whether the first thing in the beginning of a file is a JSON object over several lines."""
    head = head.lstrip()
    first, newline, rest = head.partition(b"\n")
    if not newline or not first.startswith(b"{"):
        return False
    try:
        msgspec.json.decode(without_none(first) or first)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    else:
        return False
    try:
        end = json.JSONDecoder().raw_decode(head.decode(errors="replace"))[1]
    except (ValueError, RecursionError):
        return first.strip() == b"{" and rest.lstrip().startswith(b'"')  # an object longer than the beginning
    return end > len(first.decode(errors="replace"))
