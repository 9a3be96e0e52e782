"""References to files inside archives: `shard.tar#000123.jpg`, and which names stand for archives."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

ArchiveKind = Literal["tar", "zip"]

_REFERENCE = re.compile(r"(.*?\.(?:tar|zip))#(.+)", re.IGNORECASE | re.DOTALL)
_PACKED = re.compile(r"\.(?:tar\.(?:gz|bz2|xz|zst|lz4|lzma|z)|tgz|tbz2?|txz|tzst|7z|rar)$", re.IGNORECASE)


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of an archive, as its headers say.

    `offset`: of the entry's first header, in a zip of its record in the central directory. `data`: of the content, in a
    zip of the local header before it. `size`: bytes of the content, `packed`: as they lie in the archive. `crc`: None
    where the archive has none. `kind`: `file`, `folder`, or what else it is. `reason`: why the content cannot be read.
    """

    name: str
    offset: int
    data: int
    size: int
    packed: int
    crc: int | None = None
    deflated: bool = False
    kind: str = "file"
    reason: str | None = None


class DamagedArchive(Exception):
    """The headers of an archive cannot be read from `offset` on; `reason` says why."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def archive_kind(name: str) -> ArchiveKind | None:
    """What a file name's ending stands for; None for no archive, or one that cannot be read by offset."""
    ending = name[-4:].lower()
    return "tar" if ending == ".tar" else "zip" if ending == ".zip" else None


def is_packed(name: str) -> bool:
    """Whether a name is that of an archive which is compressed as a whole, so that no member has an offset."""
    return _PACKED.search(name) is not None


def split_reference(ref: str) -> tuple[str, str | None]:
    """A reference as (path, name of the member); None for a path that names no member."""
    if "#" not in ref:
        return ref, None
    found = _REFERENCE.fullmatch(ref)
    return (ref, None) if found is None else (found[1], plain_name(found[2]))


def plain_name(name: str) -> str:
    """A member's name without the `./` that tar writes for the members of the folder `.`."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name
