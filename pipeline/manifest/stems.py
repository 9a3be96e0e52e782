"""Puts the members of an archive together to rows: the members of one stem are one row, as webdataset reads them.

The stem is a member's path up to the first dot of its name. Where each member of a stem is a picture or sound with
more dots in its name (`shot 1.2.jpg`, `shot 1.3.jpg`), nothing says that they belong together: each is a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from pipeline.manifest.kinds import kind_of
from pipeline.manifest.passed import PassedOver
from pipeline.manifest.walk import passed_kind
from pipeline.media.members import Entry

MOST_MEMBERS = 1_000
"""Members of one stem: what has more is no row of pictures and their words."""


class Stem(msgspec.Struct, frozen=True, kw_only=True):
    """The members of one row in order: (what stands behind the stem and its dot, the entry)."""

    name: str
    members: tuple[tuple[str, Entry], ...]


def wanted(entries: Iterable[Entry], passed: PassedOver) -> Iterator[Entry]:
    """The plain files among the entries; hidden ones, links and special ones are passed over and counted."""
    for entry in entries:
        if entry.kind == "folder":
            continue
        kind = _passed_kind(entry.name)
        if kind is None and entry.kind != "file":
            kind = f"{entry.kind} in an archive"
        if kind is None:
            yield entry
        else:
            passed.add(kind)


def _passed_kind(name: str) -> str | None:
    """As what a name is passed over. `..` is a name like others here: no member's name is ever a path of the disk."""
    parts = (part for part in name.split("/") if part not in (".", ".."))
    return next((kind for part in parts if (kind := passed_kind(part)) is not None), None)


def stems(entries: Iterable[Entry]) -> Iterator[Stem]:
    """The rows of entries of which those of one stem lie side by side. A name that comes twice begins a new row."""
    key, members = "", dict[str, Entry]()
    for entry in entries:
        own, ending = split(entry.name)
        if members and (own != key or ending in members or len(members) >= MOST_MEMBERS):
            yield from _rows(key, members)
            members = {}
        key = own
        members[ending] = entry
    if members:
        yield from _rows(key, members)


def split(name: str) -> tuple[str, str]:
    """A member's name as (stem, ending without its first dot); the ending keeps its case."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return folder + slash + stem, ending


def _rows(key: str, members: dict[str, Entry]) -> Iterator[Stem]:
    if len(members) == 1 or not all("." in ending and _is_media(entry) for ending, entry in members.items()):
        yield Stem(name=key, members=tuple(members.items()))
        return
    for entry in members.values():
        stem, _, ending = entry.name.rpartition(".")
        yield Stem(name=stem, members=((ending, entry),))


def _is_media(entry: Entry) -> bool:
    return kind_of(entry.name) in ("image", "audio", "video")
