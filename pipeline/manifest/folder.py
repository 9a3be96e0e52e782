"""Manifests that are a folder or a glob: lists the contents, and makes a row of each image or audio file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ManifestError
from pipeline.manifest.columns import above, columns_of
from pipeline.manifest.kinds import Kind, PassedOver, kind_of
from pipeline.manifest.rows import FIELDS
from pipeline.manifest.table_formats import BUILT_IN, TableFormat, format_of
from pipeline.manifest.walk import Found, walk
from pipeline.media.paths import PACKED, archive_kind, is_packed
from pipeline.types import Media, Problem, Row

_ORDER = {name: place for place, name in enumerate(BUILT_IN)}


class Contents:
    """What a folder contains. `medium`: the path of the first image or (for `embed`) audio file, at which the search
    ended; else None. `tables` (by the name of their format), `archives`: absolute paths in order."""

    def __init__(self) -> None:
        self.medium: str | None = None
        self.tables: dict[str, list[str]] = {}
        self.formats: dict[str, TableFormat] = {}
        self.archives: list[str] = []
        self.passed = PassedOver()
        self._seen: set[Kind | None] = set()
        self._packed = False

    def add(self, relative: str, path: str) -> None:
        """Adds one file that is neither an image nor a wanted audio file."""
        kind = kind_of(relative)
        self._seen.add(kind)
        self._packed = self._packed or is_packed(relative)
        if Path(relative).name.startswith("_"):
            self.passed.file(relative)
        elif archive_kind(relative) is not None:
            self.archives.append(path)
        elif kind is not None or (form := format_of(relative)) is None:
            self.passed.file(relative)
        else:
            self.formats[form.name] = form
            self.tables.setdefault(form.name, []).append(path)

    def leave_archives(self) -> None:
        """Counts the archives as passed over."""
        for path in self.archives:
            self.passed.file(path)
        self.archives = []

    def table_formats(self, pattern: str | None) -> list[TableFormat]:
        """Returns the formats whose tables may be the manifest. All other tables are counted as passed over."""
        formats = sorted(self.formats.values(), key=lambda form: _ORDER.get(form.name, len(_ORDER)))
        if pattern is not None:
            return formats
        main = [form for form in formats if form.in_folder == "always"]
        if not main and not self.archives:
            main = [form for form in formats if form.in_folder == "alone"]
        for form in formats:
            for path in () if form in main else self.tables[form.name]:
                self.passed.file(path)
        return main

    def lack(self, pattern: str | None) -> str:
        """Returns the reason why the folder is not a manifest."""
        if self._packed:
            return f"holds packed archives{PACKED}"
        if "video" in self._seen:
            return "holds videos but no pictures and no tables; name videos in the field `video` of a table's rows"
        if "audio" in self._seen:
            return "holds sounds but no pictures, and only the task embed takes sounds"
        return "holds no pictures and no tables" if pattern is None else "no picture and no table matches this glob"


def contents(folder: str, pattern: str | None, *, audio: bool, follow: bool) -> Contents:
    """Returns what a folder contains, or what the glob `pattern` matches in the folder. See `walk`. Raises OSError."""
    found = Contents()
    for entry in walk(folder, pattern, found.passed, follow=follow):
        kind = kind_of(entry.relative)
        if kind == "image" or (kind == "audio" and audio):
            found.medium = entry.relative
            break
        found.add(entry.relative, entry.path)
    return found


class ImageFolder:
    """The images (with `audio` also the audio files) below `root`, or those that match `pattern`.

    Folders named `key=value` are columns of type text. `first`, the path of one file below `root`, gives their names.
    Links in the folder are followed to any place, because the user named the folder. If `follow` is False, links to
    folders are passed over, as 0.1.0 did.
    """

    def __init__(self, root: str, pattern: str | None, audio: bool, first: str = "", *, follow: bool = True) -> None:
        self.root = root
        self._above = above(root)
        fields = ("image", "audio") if audio else ("image",)
        hive = columns_of(self._above + first)
        self.schema_columns: tuple[str, ...] | None = (*fields, *(name for name in hive if name not in FIELDS))
        self._pattern = pattern
        self._audio = audio
        self._follow = follow
        self._passed: PassedOver | None = None

    def rows(self, start: int = 0) -> Iterator[Row]:
        """Yields the rows in natural order. All other files are counted as passed over."""
        ordinal, passed = 0, PassedOver()
        for found in self._listed(passed):
            kind = kind_of(found.relative)
            if not self._is_wanted(kind):
                passed.file(found.relative)
                continue
            if ordinal >= start:
                yield _row(ordinal, found, kind == "audio", self._columns(found.relative))
            ordinal += 1
        self._passed = passed

    def passed_over(self) -> dict[str, int]:
        """Returns the counts of the last complete reading, by kind. If there was none, the folder is listed."""
        if self._passed is None:
            passed = PassedOver()
            for found in self._listed(passed):
                if not self._is_wanted(kind_of(found.relative)):
                    passed.file(found.relative)
            self._passed = passed
        return self._passed.counts()

    def identity(self) -> str:
        """Returns a hash of the names of the files. A changed image does not change this hash; see
        row_media.stat_key."""
        digest = hashlib.sha256()
        for found in self._listed(PassedOver()):
            digest.update(os.fsencode(found.relative) + b"\n")
        return digest.hexdigest()

    def _columns(self, relative: str) -> dict[str, str | None]:
        return columns_of(self._above + relative) if self._above or "=" in relative else {}

    def _is_wanted(self, kind: Kind | None) -> bool:
        return kind == "image" or (kind == "audio" and self._audio)

    def _listed(self, passed: PassedOver) -> Iterator[Found]:
        try:
            yield from walk(self.root, self._pattern, passed, follow=self._follow)
        except OSError as error:
            raise ManifestError(f"{error.filename or self.root}: cannot be listed: {error.strerror}") from None


def _row(ordinal: int, found: Found, audio: bool, columns: dict[str, str | None]) -> Row:
    relative = found.relative
    try:
        relative.encode()
    except UnicodeEncodeError:
        return _bad(ordinal, relative, "BadName", "the file's name is not valid UTF-8; rename it")
    # A first segment with a colon would be read as the scheme of a URL.
    ref = f"./{relative}" if ":" in relative.split("/", 1)[0] else relative
    # The reference of the medium is absolute, because a link in the user's own folder may lead out of the folder.
    media = (Media(kind="audio" if audio else "image", ref=found.path, path=found.path),)
    raw: dict[str, str | None] = {"audio" if audio else "image": ref}
    raw.update((name, value) for name, value in columns.items() if name not in FIELDS)
    return Row(
        ordinal=ordinal,
        where=relative,
        id=relative,
        given=False,
        images=() if audio else media,
        audio=media if audio else (),
        columns=columns,
        raw=raw,
    )


def _bad(ordinal: int, relative: str, name: str, message: str) -> Row:
    shown = relative.encode(errors="surrogateescape").decode(errors="backslashreplace")
    problem = Problem(code=f"Local.{name}", message=f"{shown}: {message}")
    return Row(ordinal=ordinal, where=shown, id=shown, given=False, raw={"image": shown}, problem=problem)
