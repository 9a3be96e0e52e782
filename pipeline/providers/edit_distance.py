"""Finds the known name that is nearest to a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable


def distance(one: str, other: str, most: int = 3) -> int:
    """Returns the number of edits (insert, delete, replace, swap of neighbours) between two names, at most `most`."""
    if abs(len(one) - len(other)) >= most:
        return most
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return min(last[-1], most)


def meant(name: str, known: Iterable[str]) -> str | None:
    """Returns the nearest known name within two edits, or None if there is no such name.

    Names of up to five letters may differ by one edit only.
    """
    allowed = 1 if len(name) <= 5 else 2
    found = min(((distance(name.lower(), other), other) for other in known), default=(9, ""))
    return found[1] if found[0] <= allowed else None
