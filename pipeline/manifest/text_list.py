"""Reads a list: a path or URL a line."""

from __future__ import annotations

import posixpath
from collections.abc import Generator

import msgspec

from pipeline.manifest.kinds import kind_of
from pipeline.manifest.lines import MAX_LINE_BYTES, lines, not_encoded, refuse_other
from pipeline.manifest.rows import Shaper
from pipeline.media.redact import unsigned
from pipeline.media.refs import is_remote
from pipeline.types import Row

_LONGEST_ID = 1_024


class ListReader:
    """A list of paths or URLs, each in a line of its own. The ending says whether it is an image, audio or video.

    Blanks around a line and blank lines are ignored. The id is the path, or the URL without its signature."""

    def __init__(self, files: list[str], shaper: Shaper, encoding: str | None) -> None:
        self._shaper = shaper
        self._encoding = encoding
        self._names = {field: shaper.mapped.get(field, field) for field in ("image", "audio", "video")}
        self.columns: tuple[str, ...] | None = tuple(self._names.values())
        for path in files:
            refuse_other(path, encoding)

    def read(self, path: str, name: str, start: int, first: int, prefix: str) -> Generator[Row, None, int]:
        """Rows of one file, `first` the ordinal of its first; returns the ordinal behind its last."""
        ordinal = first
        for number, line in lines(path, self._encoding):
            if line is not None and not line.strip():
                continue
            if ordinal >= start:
                yield self._row(ordinal, f"{name}:{number}", f"{prefix}{number}", line)
            ordinal += 1
        return ordinal

    def _row(self, ordinal: int, where: str, line_id: str, line: bytes | None) -> Row:
        shaper = self._shaper
        if line is None:
            message = f"the line is longer than {MAX_LINE_BYTES:,} bytes"
            return shaper.bad(ordinal, where, line_id, "LineTooLong", message)
        try:
            text = line.decode().strip()
        except UnicodeDecodeError:
            message = not_encoded(line, self._encoding)
            return shaper.bad(ordinal, where, line_id, "BadLine", message)
        kind = kind_of(text.split("?")[0].split("#")[0] if is_remote(text) else text)
        field = kind if kind in ("audio", "video") else "image"
        row = shaper.row(ordinal, where, line_id, {self._names[field]: text})
        return msgspec.structs.replace(row, id=_id(text) or row.id)


def _id(text: str) -> str | None:
    """As in a folder: the path, `./` left out. None for what is no name (`data:`)."""
    if len(text) > _LONGEST_ID or text[:5].lower() == "data:":
        return None
    return unsigned(text) if is_remote(text) else posixpath.normpath(text)
