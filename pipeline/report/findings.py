"""What `pipeline doctor` found, for people and as data."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

WIDTH = 80
Level = Literal["ok", "note", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `check`: what was looked at, in one word. `mend`: what to do, empty for nothing or
    where `text` says so already. note: works, but may surprise. problem: does not work as it is."""

    level: Level
    check: str
    text: str
    mend: str = ""


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """A line for each finding; one that is longer than 80 columns goes on below, indented. A path is never cut."""
    for found in findings:
        told = " ".join(f"{found.text}; {found.mend}".split()) if found.mend else " ".join(found.text.split())
        yield from textwrap.wrap(
            told, WIDTH, initial_indent=f"{found.level:<8} ", subsequent_indent=" " * 9,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
