"""Reads a folder or a glob of pictures and sounds as a manifest: a row a file, its relative path the id."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from pipeline.errors import ManifestError
from pipeline.manifest.kinds import Kind, kind_of
from pipeline.manifest.walk import Found, walk
from pipeline.types import Media, Problem, Row


class PictureFolder:
    """The pictures (and with `sounds` the sounds) below `root`, or those that match `pattern` there."""

    def __init__(self, root: str, pattern: str | None, sounds: bool) -> None:
        self.root = root
        self.schema_columns: tuple[str, ...] | None = ("image", "audio") if sounds else ("image",)
        self._pattern = pattern
        self._sounds = sounds

    def rows(self, start: int = 0) -> Iterator[Row]:
        """Rows in natural order; files that are neither picture nor (wanted) sound are passed over."""
        ordinal = 0
        for found in self._listed():
            kind = kind_of(found.relative)
            wanted = _holds_media(found) if found.foreign else self._is_wanted(kind)
            if wanted:
                if ordinal >= start:
                    yield _row(ordinal, found, kind == "audio")
                ordinal += 1

    def ignored(self) -> int:
        """How many files below the folder are passed over."""
        return sum(not found.foreign and not self._is_wanted(kind_of(found.relative)) for found in self._listed())

    def identity(self) -> str:
        """Over the names of the files: a picture's own change is seen by its stamp, not here."""
        digest = hashlib.sha256()
        for found in self._listed():
            digest.update(os.fsencode(found.relative) + b"\n")
        return digest.hexdigest()

    def _is_wanted(self, kind: Kind | None) -> bool:
        return kind == "image" or (kind == "audio" and self._sounds)

    def _listed(self) -> Iterator[Found]:
        try:
            yield from walk(self.root, self._pattern)
        except OSError as error:
            raise ManifestError(f"{error.filename or self.root}: cannot be listed: {error.strerror}") from None


def _row(ordinal: int, found: Found, sound: bool) -> Row:
    relative = found.relative
    try:
        relative.encode()
    except UnicodeEncodeError:
        return _bad(ordinal, relative, "BadName", "the file's name is not valid UTF-8; rename it")
    if found.foreign:
        return _bad(ordinal, relative, "LinkedFolder", "a link to a folder is not followed; name that folder itself")
    # A first segment with a colon would read as a scheme.
    ref = f"./{relative}" if ":" in relative.split("/", 1)[0] else relative
    media = (Media(kind="audio" if sound else "image", ref=ref, path=found.path),)
    if sound:
        return Row(ordinal=ordinal, where=relative, id=relative, given=False, audio=media, raw={"audio": ref})
    return Row(ordinal=ordinal, where=relative, id=relative, given=False, images=media, raw={"image": ref})


def _bad(ordinal: int, relative: str, name: str, message: str) -> Row:
    shown = relative.encode(errors="surrogateescape").decode(errors="backslashreplace")
    problem = Problem(code=f"Local.{name}", message=f"{shown}: {message}")
    return Row(ordinal=ordinal, where=shown, id=shown, given=False, raw={"image": shown}, problem=problem)


def _holds_media(link: Found) -> bool:
    """A linked folder is worth a row only if pictures would be missed: it holds one itself."""
    try:
        return any(kind_of(found.relative) in ("image", "audio") for found in walk(link.path))
    except OSError:
        return True
