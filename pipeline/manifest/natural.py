"""The natural order of names: `frame_2` before `frame_10`."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"([0-9]+)")

Key = tuple[list[str | tuple[int, str]], str]


def natural_key(name: str) -> Key:
    """A sort key: runs of ASCII digits compare as numbers of any length, the rest as text; `a01` comes before `a1`."""
    parts: list[str | tuple[int, str]] = list(_DIGITS.split(name))
    for index in range(1, len(parts), 2):
        digits = str(parts[index]).lstrip("0")
        parts[index] = (len(digits), digits)
    return parts, name
