"""The table formats. A format has a reader and the endings of its files. Other distributions may bring more formats.

A distribution brings a format by an entry point of the group `pipeline.formats` that names a TableFormat. Entry points
are looked up only for an ending or a `manifest.format` that is not built in, and for error messages.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Literal

import msgspec

from pipeline.errors import ManifestError
from pipeline.job.values import did_you_mean
from pipeline.manifest.csv_text import CsvReader, TsvReader
from pipeline.manifest.json_file import JsonReader
from pipeline.manifest.jsonl import JsonlReader
from pipeline.manifest.kinds import suffix_of
from pipeline.manifest.parquet import ParquetReader
from pipeline.manifest.record_reader import Lines, LinesReader, Reader
from pipeline.manifest.rows import Shaper
from pipeline.manifest.text_list import ListReader

GROUP = "pipeline.formats"


class TableFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A table format. Either `lines` or `reader` is given; `lines` is enough for most formats.

    `name` is the value of `manifest.format`. `suffixes` are the endings of its files, in lower case and with the dot.
    `packed`: the reader unpacks files that also end in `.gz`. `in_folder`: when files of this format in a folder are
    the manifest: "always"; "alone": only if the folder has no other table and no archive; "named": only if a glob names
    the files.
    """

    name: str
    suffixes: tuple[str, ...]
    reader: Callable[[list[str], Shaper, str | None], Reader] | None = None
    lines: Lines | None = None
    packed: bool = False
    in_folder: Literal["always", "alone", "named"] = "always"

    def open(self, files: list[str], shaper: Shaper, encoding: str | None) -> Reader:
        """Returns a reader of these files. Raises ManifestError if one of the files cannot be read at all."""
        if self.reader is not None:
            return self.reader(files, shaper, encoding)
        assert self.lines is not None
        return LinesReader(self.name, self.lines, shaper, encoding)


_BUILT_IN = (
    TableFormat(name="parquet", suffixes=(".parquet", ".pq"), reader=ParquetReader),
    TableFormat(name="jsonl", suffixes=(".jsonl", ".ndjson"), reader=JsonlReader, packed=True),
    TableFormat(name="csv", suffixes=(".csv",), reader=CsvReader, packed=True),
    TableFormat(name="tsv", suffixes=(".tsv",), reader=TsvReader, packed=True),
    TableFormat(name="json", suffixes=(".json",), reader=JsonReader, packed=True, in_folder="alone"),
    TableFormat(name="txt", suffixes=(".txt",), reader=ListReader, packed=True, in_folder="named"),
)
BUILT_IN = {form.name: form for form in _BUILT_IN}
"""Name → format. Where a folder holds several formats, messages name them in this order."""
_BY_SUFFIX = {suffix: form for form in _BUILT_IN for suffix in form.suffixes}


def format_of(name: str) -> TableFormat | None:
    """Returns the format of a file by its name's ending (`.csv.gz` too), in upper or lower case; None for others."""
    suffix = suffix_of(name)
    packed = suffix == ".gz"
    if packed:
        suffix = suffix_of(name[:-3])
    found = _BY_SUFFIX.get(suffix)
    if found is None and suffix:
        found = next((form for form in _installed()[0].values() if suffix in form.suffixes), None)
    return None if found is None or (packed and not found.packed) else found


def format_named(name: str) -> TableFormat:
    """Returns the format with the name that the job gives. Raises ManifestError for an unknown name."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    installed, broken = _installed()
    if name in installed:
        return installed[name]
    known = [*BUILT_IN, *installed]
    raise ManifestError(
        f'manifest.format: found "{name}", expected one of {", ".join(known)}{did_you_mean(name, known)} '
        f"(an installed package may bring further formats by the entry-point group {GROUP}){broken}"
    )


def accepted() -> str:
    """Returns a list of everything that a manifest may be, as text for messages."""
    installed, broken = _installed()
    suffixes = [suffix for form in (*_BUILT_IN, *installed.values()) for suffix in form.suffixes]
    return (
        f"a {', '.join(suffixes[:-1])} or {suffixes[-1]} file, a .tar or .zip archive, a folder or a glob of these, "
        f"a folder or a glob of images, or sql: and a query{broken}"
    )


@functools.cache
def _installed() -> tuple[dict[str, TableFormat], str]:
    """Returns (name → format of other distributions, a text that names the entry points that cannot be loaded)."""
    found: dict[str, TableFormat] = {}
    broken = ""
    for point in entry_points(group=GROUP):
        try:
            form = point.load()
            if not isinstance(form, TableFormat) or (form.reader is None) == (form.lines is None):
                raise TypeError("expected a TableFormat with either `reader` or `lines`")
            found.setdefault(form.name, form)
        except Exception as error:  # code of another distribution may raise anything
            brought = point.dist.name if point.dist is not None else "an installed package"
            broken += f"; the format {point.name} of {brought} cannot be loaded: {type(error).__name__}: {error}"
    return found, broken
