"""Groups the members of an archive by stem, as webdataset does: a stem is a row, and its small files are columns.

The stem is a member's path up to the first dot of its name. If each member of a stem is an image, audio or video with
more dots in its name (`shot 1.2.jpg`, `shot 1.3.jpg`), the members may not belong together: each member is a row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.manifest.columns import infer
from pipeline.manifest.kinds import PassedOver, kind_of
from pipeline.manifest.walk import passed_kind
from pipeline.media.archive import Archive
from pipeline.media.paths import Entry

MOST_MEMBERS = 1_000
"""The most members of one stem. A stem with more members is not a row of images and their texts: the stem is split."""


class Stem(msgspec.Struct, frozen=True, kw_only=True):
    """A row of an archive. `members`: in order, (the rest of the name after the stem and its dot, the entry)."""

    name: str
    members: tuple[tuple[str, Entry], ...]


def wanted(entries: Iterable[Entry], passed: PassedOver) -> Iterator[Entry]:
    """Yields the plain files. Hidden files, links and special files are counted as passed over."""
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
    """Returns the kind under which a member is passed over, or None.

    `..` in a name does not count as hidden, and is harmless: a member's name is never used as a path on the disk.
    """
    parts = (part for part in name.split("/") if part not in (".", ".."))
    return next((kind for part in parts if (kind := passed_kind(part)) is not None), None)


def stems(entries: Iterable[Entry]) -> Iterator[Stem]:
    """Yields the stems of entries in which members of one stem are adjacent. A repeated name begins a new row."""
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
    """Splits a member's name into (stem, ending without its first dot). The ending keeps its case."""
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


MAX_BYTES = 4 * 1024 * 1024
"""The most bytes of all texts, numbers and JSON files of one row together."""

TEXTS = frozenset({"txt", "text", "caption", "transcript", "prompt", "tags", "label", "url", "key"})
NUMBERS = frozenset({"cls", "cls2", "class", "count", "index", "inx", "id", "score"})
"""Endings of files that webdataset's own decoders read as numbers. A text that is not a number stays a text."""


def is_sidecar(ending: str) -> bool:
    """Tells whether an ending (after the stem) is that of a text, a number or JSON."""
    last = ending.rpartition(".")[2].lower()
    return last == "json" or last in TEXTS or last in NUMBERS


def columns(found: list[tuple[str, Entry]], archive: Archive) -> dict[str, Any]:
    """Returns column → value for the texts, numbers and JSON files of a row.

    A text or number has the file's ending as its column (`txt`, `caption`). A JSON object in a file with the ending
    `json` gives a column for each key. Any other JSON value has the file's ending as its column. If a key equals an
    ending, the file with this ending is taken.

    Raises Fault `Local.BadLine` for a file that cannot be read, `Local.TooLarge` if the files have more than MAX_BYTES,
    and the same errors as `Archive.read`.
    """
    total = sum(max(entry.size, entry.packed) for _, entry in found)
    if total > MAX_BYTES:
        raise refusal("TooLarge", f"{total:,} bytes of texts beside the picture; at most {MAX_BYTES:,} are read")
    own: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    for ending, entry in found:
        body = archive.read(entry, MAX_BYTES) if entry.size else b""
        last = ending.rpartition(".")[2].lower()
        if last == "json":
            value = _json(body, entry)
            if isinstance(value, dict) and ending.lower() == "json":
                keys |= value
            else:
                own[ending] = value
        else:
            text = _text(body, entry)
            own[ending] = _number(text) if last in NUMBERS else text
    return {**keys, **own}


def _json(body: bytes, entry: Entry) -> Any:
    try:
        return msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _bad(entry, f"not JSON: {error}") from None


def _text(body: bytes, entry: Entry) -> str:
    try:
        return body.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _bad(entry, "not UTF-8") from None


def _number(text: str) -> Any:
    return infer(["n"], [[text]])["n"](text) if text else None


def _bad(entry: Entry, why: str) -> Fault:
    return refusal("BadLine", f"the member {entry.name} is {why}")
