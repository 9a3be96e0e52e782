"""Reads a list of paths or URLs, one on each line."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

import msgspec

from pipeline.manifest.kinds import kind_of
from pipeline.manifest.lines import TOO_LONG, filled_lines, not_encoded, refuse_other
from pipeline.manifest.record_reader import RecordReader
from pipeline.manifest.rows import Place, Shaper
from pipeline.media.redact import unsigned
from pipeline.media.refs import is_remote
from pipeline.types import Row

_LONGEST_ID = 1_024


class ListReader(RecordReader[bytes | None]):
    """A list of paths or URLs, each in a line of its own. The ending says whether it is an image, audio or video.

    Blanks around a line and blank lines are ignored. The id is the path, or the URL without its signature.
    """

    def __init__(self, files: list[str], shaper: Shaper, encoding: str | None) -> None:
        super().__init__(shaper, encoding)
        self._names = {field: shaper.mapped.get(field, field) for field in ("image", "audio", "video")}
        self.columns = tuple(self._names.values())
        for path in files:
            refuse_other(path, encoding)

    def records(self, path: str) -> Iterator[tuple[int, bytes | None]]:
        return filled_lines(path, self.encoding)

    def row_maker(self, path: str) -> Callable[[Place, bytes | None], Row]:
        return self._row

    def _row(self, place: Place, record: bytes | None) -> Row:
        shaper = self.shaper
        if record is None:
            return shaper.bad(place, "LineTooLong", TOO_LONG)
        try:
            text = record.decode().strip()
        except UnicodeDecodeError:
            return shaper.bad(place, "BadLine", not_encoded(record, self.encoding))
        kind = kind_of(text.split("?")[0].split("#")[0] if is_remote(text) else text)
        row = shaper.row(place, {self._names[kind or "image"]: text})
        return msgspec.structs.replace(row, id=_id(text) or row.id)


def _id(text: str) -> str | None:
    """Returns the id: the path without `./`, as in a folder of images, or the URL without its signature.

    Returns None for `data:`, and for a text that is too long for a name.
    """
    if len(text) > _LONGEST_ID or text[:5].lower() == "data:":
        return None
    return unsigned(text) if is_remote(text) else posixpath.normpath(text)
