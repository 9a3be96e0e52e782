"""What a folder or a glob holds: pictures, the parts of a table, archives, and what is passed over."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pipeline.manifest.kinds import Kind, kind_of
from pipeline.manifest.passed import PassedOver
from pipeline.manifest.table_files import TableKind
from pipeline.manifest.walk import walk
from pipeline.media.members import archive_kind, is_packed
from pipeline.media.missing import PACKED

_BESIDE: tuple[TableKind, ...] = ("json", "txt")
"""What lies beside tables, pictures and archives (notes, settings): the parts of a table only where a glob names them,
or, of JSON, where nothing else is there."""


class Contents:
    """`medium`: the first picture or (wanted) sound, as its path below the folder; with it nothing else was looked for.
    `tables`, `archives`: absolute paths in order."""

    def __init__(self) -> None:
        self.medium: str | None = None
        self.tables: dict[TableKind, list[str]] = {}
        self.archives: list[str] = []
        self.passed = PassedOver()
        self._seen: set[Kind | None] = set()
        self._packed = False

    def add(self, relative: str, path: str) -> None:
        """Counts in one file that is no medium."""
        kind = kind_of(relative)
        self._seen.add(kind)
        self._packed = self._packed or is_packed(relative)
        if Path(relative).name.startswith("_"):
            self.passed.file(relative)
        elif archive_kind(relative) is not None:
            self.archives.append(path)
        elif kind in (None, "video", "audio", "image"):
            self.passed.file(relative)
        else:
            self.tables.setdefault(cast("TableKind", kind), []).append(path)

    def leave_archives(self) -> None:
        """Passes over the archives."""
        for path in self.archives:
            self.passed.file(path)
        self.archives = []

    def table_kinds(self, pattern: str | None) -> list[TableKind]:
        """The kinds of table that the manifest may be made of. Passes over what lies beside them."""
        order: tuple[TableKind, ...] = ("parquet", "jsonl", "csv", "tsv", "json", "txt")
        kinds = [kind for kind in order if kind in self.tables]
        if pattern is not None:
            return kinds
        main = [kind for kind in kinds if kind not in _BESIDE]
        if not main and not self.archives and "json" in kinds:
            main = ["json"]
        for kind in kinds:
            for path in () if kind in main else self.tables[kind]:
                self.passed.file(path)
        return main

    def lack(self, pattern: str | None) -> str:
        """Why this is no manifest."""
        if self._packed:
            return f"holds packed archives{PACKED}"
        if "video" in self._seen:
            return "holds videos but no pictures and no tables; name videos in the field `video` of a table's rows"
        if "audio" in self._seen:
            return "holds sounds but no pictures, and only the task embed takes sounds"
        return "holds no pictures and no tables" if pattern is None else "no picture and no table matches this glob"


def contents(folder: str, pattern: str | None, *, audio: bool, follow: bool) -> Contents:
    """Looks through a folder (`pattern` None), or what a glob matches in it, as `walk` lists it. Raises OSError."""
    found = Contents()
    for entry in walk(folder, pattern, found.passed, follow=follow):
        kind = kind_of(entry.relative)
        if kind == "image" or (kind == "audio" and audio):
            found.medium = entry.relative
            break
        found.add(entry.relative, entry.path)
    return found
