"""The nearest valid name for a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The name of `valid` that `name` most likely meant, or None where none is near."""
    found = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`; did you mean "x"?`, or an empty text."""
    near = nearest(name, valid)
    return f'; did you mean "{near}"?' if near else ""
