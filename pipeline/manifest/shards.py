"""Reads archives as a manifest: the members of one stem are a row, in the order of the archive.

Nothing is unpacked: the headers are read, and the small texts beside the pictures. Measured: see tests/bench.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from pipeline.errors import Fault, ManifestError
from pipeline.manifest.archive import Archive
from pipeline.manifest.kinds import kind_of
from pipeline.manifest.members import DamagedArchive, Entry
from pipeline.manifest.passed import PassedOver
from pipeline.manifest.rows import Shaper
from pipeline.manifest.sidecars import columns, is_sidecar
from pipeline.manifest.stems import Stem, split, stems, wanted
from pipeline.types import Media, MediaKind, Problem, Row

_INPUTS = frozenset({"image", "images", "audio", "video", "text", "prompt", "prompts", "contents", "messages"})


class Shards:
    """The rows of archives (absolute paths, in order) below the folder `shaper.base`. `passed`: what was passed over
    when the archives were looked for. `sounds`: sounds are inputs too.

    Raises ManifestError at once for a file that is no archive.
    """

    schema_columns: tuple[str, ...] | None = None

    def __init__(self, files: list[str], shaper: Shaper, passed: PassedOver, *, sounds: bool) -> None:
        self.root = shaper.base
        self._files = files
        self._shaper = shaper
        self._among = passed
        self._passed: PassedOver | None = None
        self._kinds: tuple[MediaKind, ...] = ("image", "audio") if sounds else ("image",)
        self._facts: dict[str, Any] = {}
        self._orders: dict[str, array[int] | None] = {}
        for path in files:
            with self._opened(path):
                pass

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The rows of all archives in order. An archive that is damaged ends in a row that says so.

        Raises ManifestError for an archive that changed since it was first opened.
        """
        ordinal, passed = 0, PassedOver()
        for kind, count in self._among.counts().items():
            passed.add(kind, count)
        for path in self._files:
            with self._opened(path) as archive:
                shard = _Shard(archive, path, os.path.relpath(path, self.root), self._shaper, self._kinds)
                for stem in self._stems(shard, passed):
                    if isinstance(stem, Stem):
                        is_row = shard.is_row(stem)
                        for ending, entry in stem.members:
                            if not is_row or not _is_used(ending, entry):
                                passed.file(entry.name)
                        if not is_row:
                            continue
                    if ordinal >= start:
                        yield shard.row(ordinal, stem) if isinstance(stem, Stem) else shard.broken(ordinal, stem)
                    ordinal += 1
        self._passed = passed

    def passed_over(self) -> dict[str, int]:
        """What the last whole reading passed over, by kind; without one, the archives are read."""
        if self._passed is None:
            for _ in self.rows():
                pass
        assert self._passed is not None
        return self._passed.counts()

    def identity(self) -> str:
        """Over each archive's path, size, time of change and inode."""
        digest = hashlib.sha256()
        for path in self._files:
            with self._opened(path) as archive:
                digest.update(os.fsencode(path) + f"\0{archive.facts}\n".encode())
        return digest.hexdigest()

    @contextmanager
    def _opened(self, path: str) -> Iterator[Archive]:
        """The archive, as it was when it was first opened, and still when it is closed."""
        try:
            fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            archive = Archive(fd, path, path)
            if self._facts.setdefault(path, archive.facts) != archive.facts:
                raise _changed(path)
            yield archive
            now = os.stat(path)  # noqa: PTH116
            if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != archive.facts:
                raise _changed(path)
        except DamagedArchive as error:
            raise ManifestError(f"{path}: {error.reason}") from None
        except OSError as error:
            raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from None
        finally:
            os.close(fd)

    def _stems(self, shard: _Shard, passed: PassedOver) -> Iterator[Stem | DamagedArchive]:
        """The archive's stems; behind them the damage, if there is one."""
        archive, path = shard.archive, shard.path
        damage: list[DamagedArchive] = []
        if path not in self._orders:
            self._orders[path] = _order(wanted(_until_damage(archive.entries(), damage), PassedOver()))
            damage.clear()
        order = self._orders[path]
        entries: Iterable[Entry] = wanted(_until_damage(archive.entries(), damage), passed)
        if order is None:
            yield from stems(entries)
        else:
            for _ in entries:  # counts what is passed over, and finds the damage
                pass
            yield from stems(archive.entry_at(offset) for offset in order)
        yield from damage


def _changed(path: str) -> ManifestError:
    return ManifestError(f"{path}: the archive changed while it was read; run again")


def _until_damage(entries: Iterator[Entry], damage: list[DamagedArchive]) -> Iterator[Entry]:
    try:
        yield from entries
    except DamagedArchive as error:
        damage.append(error)


def _order(entries: Iterable[Entry]) -> array[int] | None:
    """The offsets of the entries with those of one stem side by side, stems in the order of their first member; None
    where the entries lie so already. 16 bytes an entry while sorting."""
    keys, places = array("q"), array("q")
    for entry in entries:
        keys.append(hash(split(entry.name)[0]))
        places.append(entry.offset)
    if len(keys) < 2:
        return None
    import numpy as np

    _, firsts, inverse = np.unique(np.frombuffer(keys, np.int64), return_index=True, return_inverse=True)
    order = np.argsort(firsts[inverse], kind="stable")
    if bool((order == np.arange(len(order))).all()):
        return None
    return array("q", np.frombuffer(places, np.int64)[order].tobytes())


class _Shard:
    """One open archive: makes rows of its stems. `name`: the archive's path below the manifest's folder."""

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
        """Whether a stem holds an input: a picture or sound, or a text that `[columns]` makes one."""
        return any(
            kind_of(entry.name) in self._kinds or (self._from_texts and is_sidecar(ending))
            for ending, entry in stem.members
        )

    def row(self, ordinal: int, stem: Stem) -> Row:
        """The row of a stem: its id is the reference of its picture (of its stem, where there are several)."""
        where = f"{self._name}#{stem.name}"
        media = {kind: self._media(stem, kind) for kind in self._kinds}
        inputs = [member for found in media.values() for member in found]
        one = inputs or list(stem.members)
        id_ = where if len(inputs) > 1 else self._reference(one[0][1])
        name_problem = _unwritable(id_) or _unwritable(where)
        if name_problem is not None:
            shown = id_.encode(errors="surrogateescape").decode(errors="backslashreplace")
            return self._shaper.bad(ordinal, shown, shown, "BadName", name_problem)
        values: dict[str, Any] = {}
        for kind, found in media.items():
            if found:
                refs = [self._reference(entry) for _, entry in found]
                values["images" if kind == "image" and len(refs) > 1 else kind] = refs if len(refs) > 1 else refs[0]
        try:
            extra, problem = self._columns(stem, inputs), None
        except Fault as fault:
            extra, problem = {}, Problem(code=fault.code, message=f"{where}: {fault.message}")
        row = self._shaper.row(ordinal, where, id_, values, extra={**self._hive, **extra})
        places = {self._reference(entry): entry for _, entry in stem.members}
        return msgspec.structs.replace(
            row,
            id=row.id if row.given else id_,
            problem=row.problem or problem,
            images=tuple(self._placed(medium, places) for medium in row.images),
            audio=tuple(self._placed(medium, places) for medium in row.audio),
        )

    def broken(self, ordinal: int, damage: DamagedArchive) -> Row:
        """The row that stands for what cannot be read behind a damage."""
        line = f"line:{self._name}@{damage.offset}"
        message = f"{self._name}: the archive is damaged, and what lies behind cannot be read: {damage.reason}"
        return self._shaper.bad(ordinal, self._name, line, "DamagedArchive", message)

    def _media(self, stem: Stem, kind: MediaKind) -> list[tuple[str, Entry]]:
        """The pictures or sounds of a stem: those right behind it (`000.jpg`), else all (`000.left.jpg`)."""
        found = [(ending, entry) for ending, entry in stem.members if kind_of(entry.name) == kind]
        return [member for member in found if "." not in member[0]] or found

    def _columns(self, stem: Stem, inputs: list[tuple[str, Entry]]) -> dict[str, Any]:
        """The texts as columns; other pictures, and any that `[columns]` names by its ending, as references."""
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
        """The medium with its place. Its reference is absolute: the user named the archive, which may be a link."""
        entry = places.get(medium.ref)
        if entry is None:
            return medium
        member = self.archive.member(entry)
        return Media(kind=medium.kind, ref=f"{self.path}#{entry.name}", path=self.path, member=member)


def _is_used(ending: str, entry: Entry) -> bool:
    """Whether a member of a row is an input or a column."""
    return is_sidecar(ending) or kind_of(entry.name) in ("image", "audio", "video")


def _unwritable(name: str) -> str | None:
    if "\0" in name:
        return "a member's name holds a NUL character; pack the archive anew"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a member's name is not valid UTF-8; pack the archive anew"
    return None
