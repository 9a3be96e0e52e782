"""Counts what a folder, a glob or an archive passes over, by kind."""

from __future__ import annotations

import re
from collections import Counter

from pipeline.manifest.kinds import suffix_of

MOST_KINDS = 20
"""Kinds counted by name; a folder may hold any number of endings."""

_PLAIN_ENDING = re.compile(r"\.[a-z0-9_-]{1,12}")
_OTHER = "other"


class PassedOver:
    """Counts by kind: an ending such as `.svg`, `hidden`, the name of a service folder, or words of the caller."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def file(self, name: str) -> None:
        """Counts one file by the ending of its name."""
        suffix = suffix_of(name)
        self.add("no ending" if not suffix else suffix if _PLAIN_ENDING.fullmatch(suffix) else _OTHER)

    def add(self, kind: str, count: int = 1) -> None:
        """Counts `count` entries of a kind, together with all rare kinds where there are too many."""
        known = kind in self._counts or len(self._counts) < MOST_KINDS
        self._counts[kind if known else _OTHER] += count

    def counts(self) -> dict[str, int]:
        """Kind → how many, the most first, then by name."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1], item[0])))
