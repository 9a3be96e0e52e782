"""Makes the copy of a manifest row that a failure keeps. The copy can be stored, and can be sent again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipeline.errors import Fault
from pipeline.job.schema import JobFile
from pipeline.manifest.fields import from_json, text_or_list
from pipeline.manifest.rows import Shaper
from pipeline.media import formats
from pipeline.media.redact import redacted
from pipeline.media.refs import is_relative, to_path
from pipeline.types import Row

_LISTED = ("contents", "messages")
_MEDIA = ("image", "images", "audio", "frames", "video")


def replayable_row(row: Row, job: JobFile, base: str) -> dict[str, Any]:
    """Returns the values of the row as they were read, under the manifest's own names.

    Local paths become absolute (`base`: `Manifest.root`). URLs lose their signatures. `data:` is replaced by its hash.
    `from_table([kept], job, base)` makes a Row from the returned values. A path that leads out of the manifest stays as
    it was written, so that the path is refused again.
    """
    names = Shaper(job, base).names
    return {name: redacted(_absolute(value, names.get(name), base)) for name, value in row.raw.items()}


def _absolute(value: Any, field: str | None, base: str) -> Any:
    try:
        if field in _MEDIA:
            return _mapped(text_or_list(value, field), lambda ref: _path(ref, base))
        if field in _LISTED and isinstance(tables := from_json(value, field), list):
            return [_table(table, base) for table in tables]
    except Fault:
        return value
    return value


def _table(table: Any, base: str) -> Any:
    """Makes the paths in a part of `contents` or in an earlier turn absolute. The fields are read like the row's."""
    if not isinstance(table, dict):
        return table
    return {key: _absolute(item, key, base) for key, item in table.items()}


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    return [_mapped(item, change) for item in value] if isinstance(value, (list, tuple)) else value


def _path(ref: str, base: str) -> str:
    if formats.of_media(ref) or formats.too_long_for_a_path(ref):
        return formats.by_hash(ref)
    try:
        return to_path(ref, base) if is_relative(ref) and ref.strip() else ref
    except Fault:
        return ref
