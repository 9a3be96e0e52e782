"""The services' published errors as a table: errors.json (PROTOCOLS.md §1.9, §4.4) and openai_errors.json."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Literal

import msgspec

from pipeline.providers import declared

ErrorClass = Literal["retry", "retry_once", "never", "account"]
_QUOTED = re.compile(r"'([^']+)'")
_WILD = re.compile(r"xxx|\.\.\.|\(detail\)")


class ErrorRow(msgspec.Struct, frozen=True):
    """One published error.

    `samples`: (length, pattern) of each published text, the longest text first. `general`: the row holds for any text.
    """

    http: tuple[int, ...]
    code: str
    family: ErrorClass
    samples: tuple[tuple[int, re.Pattern[str]], ...]
    general: bool

    def match(self, message: str) -> int:
        """Returns the length of the longest published text that the message holds, or 0."""
        return max((weight for weight, pattern in self.samples if pattern.search(message)), default=0)


@functools.cache
def rows(service: str) -> dict[str, tuple[ErrorRow, ...]]:
    """Returns lower-case code → the rows of that code, in the order of the table.

    A compatible code has all rows of its native code. The key "" has the rows without a code, which are found by their
    words alone.
    """
    built_in = [row for name in ("errors.json", "openai_errors.json") for row in _read(name)]
    raw = [row for row in built_in if row["service"] == service] or list(declared(service, "ERRORS"))
    has_aliases = declared(service, "COMPAT_CODES")
    table: dict[str, list[ErrorRow]] = {}
    aliases: dict[str, set[str]] = {}
    for entry in raw:
        if entry["class"] not in ("retry", "retry_once", "never", "account"):
            continue
        for code in _names(entry["code"]) or [""]:
            table.setdefault(code.lower(), []).append(_row(entry, code))
            if has_aliases:
                for alias in _names(entry.get("compat_code")):
                    aliases.setdefault(alias.lower(), set()).add(code.lower())
    for alias, natives in aliases.items():
        if alias not in table:
            table[alias] = [row for code in table for row in table[code] if code in natives]
    return {code: tuple(found) for code, found in table.items()}


def _read(name: str) -> list[dict[str, object]]:
    document = msgspec.json.decode(resources.files("pipeline.providers").joinpath(name).read_bytes())
    found: list[dict[str, object]] = document["rows"]
    return found


def _names(value: object) -> list[str]:
    return [name for part in str(value).split(" / ") if (name := part.strip())] if value else []


def _row(entry: dict[str, object], code: str) -> ErrorRow:
    text = str(entry["message"] or "")
    many = text.startswith("many")
    texts = _QUOTED.findall(text) if many else [part.strip() for part in text.split(" / ")]
    samples = [(len(plain), pattern) for plain, pattern in map(_pattern, texts) if plain]
    statuses = entry["http"]
    assert isinstance(statuses, list)
    family = msgspec.convert(entry["class"], ErrorClass)
    return ErrorRow(tuple(statuses), code, family, tuple(sorted(samples, key=lambda s: -s[0])), many or not samples)


def _pattern(sample: str) -> tuple[str, re.Pattern[str]]:
    """Returns a published text without its wildcards, and the text as a pattern.

    `xxx`, `...` and `(detail)` match anything. Case and full stops at the ends of the pieces do not count.
    """
    pieces = [piece.strip(" .") for piece in _WILD.split(sample)]
    kept = [re.escape(piece) for piece in pieces if piece]
    return "".join(pieces), re.compile(".{0,200}?".join(kept) if kept else r"(?!)", re.IGNORECASE)
