"""Makes rows from the stems of an open archive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.errors import Fault
from pipeline.manifest.kinds import kind_of
from pipeline.manifest.rows import Place, Shaper
from pipeline.manifest.stems import Stem, columns, is_sidecar
from pipeline.media.archive import Archive
from pipeline.media.paths import DamagedArchive, Entry
from pipeline.types import Media, MediaKind, Problem, Row

MAX_NAME = 4_096
"""The most characters of a row's id. No file system takes a longer path."""

_INPUTS = frozenset({"image", "images", "audio", "video", "text", "prompt", "prompts", "contents", "messages"})


class ShardRows:
    """Makes rows from the stems of one open archive. `name`: the archive's path below the manifest's folder."""

    def __init__(self, archive: Archive, path: str, name: str, shaper: Shaper, kinds: tuple[MediaKind, ...]) -> None:
        self.archive = archive
        self.path = path
        self._name = name
        self._shaper = shaper
        self._kinds = kinds
        self._mapped = {column: field for field, column in shaper.mapped.items()}
        self._hive = shaper.partitions.of(name) if shaper.partitions is not None else {}
        self._from_texts = not _INPUTS.isdisjoint(shaper.mapped)

    def is_row(self, stem: Stem) -> bool:
        """Tells whether a stem contains an input: an image, an audio file, or a text that `[columns]` makes an
        input."""
        return any(
            kind_of(entry.name) in self._kinds or (self._from_texts and is_sidecar(ending))
            for ending, entry in stem.members
        )

    def row(self, ordinal: int, stem: Stem) -> Row:
        """Returns the row of a stem. The id is the reference of its image, or of the stem if there are several
        images."""
        where = f"{self._name}#{stem.name}"
        media = {kind: self._media(stem, kind) for kind in self._kinds}
        inputs = [member for found in media.values() for member in found]
        first = (inputs or stem.members)[0][1]
        id_ = where if len(inputs) > 1 else self._reference(first)
        problem = _unwritable(id_) or _unwritable(where)
        if problem is not None:
            shown = _shown(id_, first)
            return self._shaper.bad(Place(ordinal, shown, shown), "BadName", problem)
        try:
            extra, broken = self._columns(stem, inputs), None
        except Fault as fault:
            extra, broken = {}, Problem(code=fault.code, message=f"{where}: {fault.message}")
        row = self._shaper.row(Place(ordinal, where, id_), self._values(media), extra={**self._hive, **extra})
        places = {self._reference(entry): entry for _, entry in stem.members}
        return msgspec.structs.replace(
            row,
            id=row.id if row.given else id_,
            problem=row.problem or broken,
            images=tuple(self._placed(medium, places) for medium in row.images),
            audio=tuple(self._placed(medium, places) for medium in row.audio),
        )

    def _values(self, media: Mapping[MediaKind, list[tuple[str, Entry]]]) -> dict[str, Any]:
        """Returns the fields of a row: `image` (`images` if there are several) and `audio`."""
        values: dict[str, Any] = {}
        for kind, found in media.items():
            refs = [self._reference(entry) for _, entry in found]
            if len(refs) > 1:
                values["images" if kind == "image" else kind] = refs
            elif refs:
                values[kind] = refs[0]
        return values

    def broken(self, ordinal: int, damage: DamagedArchive) -> Row:
        """Returns the row with a problem that stands for the part of the archive after the damage."""
        line = f"line:{self._name}@{damage.offset}"
        message = f"{self._name}: the archive is damaged, and what lies behind cannot be read: {damage.reason}"
        return self._shaper.bad(Place(ordinal, self._name, line), "DamagedArchive", message)

    def _media(self, stem: Stem, kind: MediaKind) -> list[tuple[str, Entry]]:
        """Returns the images or audio files of a stem: those named by the stem alone (`000.jpg`), else all
        (`000.left.jpg`)."""
        found = [(ending, entry) for ending, entry in stem.members if kind_of(entry.name) == kind]
        return [member for member in found if "." not in member[0]] or found

    def _columns(self, stem: Stem, inputs: list[tuple[str, Entry]]) -> dict[str, Any]:
        """Returns the texts as columns. Other media, and media that `[columns]` names by ending, are references."""
        taken = {ending for ending, _ in inputs if ending not in self._mapped}
        others = {
            ending: self._reference(entry)
            for ending, entry in stem.members
            if ending not in taken and kind_of(entry.name) in ("image", "audio", "video")
        }
        texts = [(ending, entry) for ending, entry in stem.members if is_sidecar(ending)]
        return {**others, **columns(texts, self.archive)} if texts else others

    def _reference(self, entry: Entry) -> str:
        return f"{self._name}#{entry.name}"

    def _placed(self, medium: Media, places: dict[str, Entry]) -> Media:
        """Returns the medium with its place in the archive. The reference becomes absolute, because the user named the
        archive, and the archive may be a link."""
        entry = places.get(medium.ref)
        if entry is None:
            return medium
        member = self.archive.member(entry)
        return Media(kind=medium.kind, ref=f"{self.path}#{entry.name}", path=self.path, member=member)


def is_used(ending: str, entry: Entry) -> bool:
    """Tells whether a member of a row is an input or a column."""
    return is_sidecar(ending) or kind_of(entry.name) in ("image", "audio", "video")


def _unwritable(name: str) -> str | None:
    if len(name) > MAX_NAME:
        return f"a member's name of {len(name):,} characters; at most {MAX_NAME:,} are taken"
    if "\0" in name:
        return "a member's name holds a NUL character; pack the archive anew"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a member's name is not valid UTF-8; pack the archive anew"
    return None


def _shown(id_: str, entry: Entry) -> str:
    """Returns an id with escapes for characters that cannot be written. A long id is shortened."""
    shown = id_.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return shown if len(shown) <= MAX_NAME else f"{shown[:200]}…@{entry.offset}"
