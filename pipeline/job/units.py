"""Durations and shares as people write them: "10m", "1h30m", "25s", "1%"."""

from __future__ import annotations

import re
from typing import Any

from pipeline.job.values import for_message

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_SCALES = (3600.0, 60.0, 1.0, 0.001)


def duration(value: float | str) -> float:
    """Seconds of 90, "90", "90s", "1m30s", "2h" or "500ms". Raises ValueError for anything else or below zero."""
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
    """How many of `of` rows "1%" or 25 allows, rounded down. Raises ValueError for anything else or below zero."""
    text = str(value).strip()
    try:
        count = int(float(text[:-1]) / 100 * of) if text.endswith("%") else int(text)
    except ValueError:
        raise ValueError(f"found {for_message(value)}, expected a count or a share such as 1%") from None
    if count < 0 or isinstance(value, bool):
        raise ValueError(f"found {for_message(value)}, expected a count or a share such as 1%")
    return count
