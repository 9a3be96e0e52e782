"""Reads a folder or a glob of pictures and sounds as a manifest: a row a file, its relative path the id."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from pipeline.errors import ManifestError
from pipeline.manifest.hive import above, columns_of
from pipeline.manifest.kinds import Kind, kind_of
from pipeline.manifest.passed import PassedOver
from pipeline.manifest.rows import FIELDS
from pipeline.manifest.walk import Found, walk
from pipeline.types import Media, Problem, Row


class ImageFolder:
    """The pictures (and with `audio` the sounds) below `root`, or those that match `pattern` there.

    Folders named `key=value` are columns of type text; `first`, the path of one file below `root`, says which there
    are. Links that the folder holds are followed, wherever they lead: the user named the folder. `follow` False: links
    to folders are passed over, as an output that began with 0.1.0 did.
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
        """Rows in natural order; files that are neither picture nor (wanted) sound are passed over and counted."""
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
        """What the last whole reading passed over, by kind; without one, the folder is listed."""
        if self._passed is None:
            passed = PassedOver()
            for found in self._listed(passed):
                if not self._is_wanted(kind_of(found.relative)):
                    passed.file(found.relative)
            self._passed = passed
        return self._passed.counts()

    def identity(self) -> str:
        """Over the names of the files: a picture's own change is seen by its stamp, not here."""
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
    # A first segment with a colon would read as a scheme.
    ref = f"./{relative}" if ":" in relative.split("/", 1)[0] else relative
    # The reference of the medium is absolute: a link in the user's own folder may lead out of it.
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
