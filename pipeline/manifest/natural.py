"""The natural order of names: `frame_2` before `frame_10`."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[0-9]+")


def natural_key(name: str) -> str:
    """A sort key: runs of ASCII digits compare as numbers of any length, the rest as text, `a01` before `a1`.

    One string, not a list of parts: a folder of a million files is sorted by as many keys. A number becomes NUL (which
    no file name holds, and which sorts first), the count of its digits, and the digits; the name itself settles ties.
    """
    return _DIGITS.sub(_number, name) + "\0\0" + name


def _number(found: re.Match[str]) -> str:
    digits = found[0].lstrip("0")
    return f"\0{chr(len(digits) + 1)}{digits}"
