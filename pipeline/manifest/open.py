"""Opens a manifest: finds the files by name, folder or glob, and chooses the reader for them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pipeline.errors import ManifestError
from pipeline.job.schema import JobFile
from pipeline.job.values import nearest
from pipeline.manifest.columns import Partitions
from pipeline.manifest.folder import ImageFolder, contents
from pipeline.manifest.kinds import PassedOver, kind_of
from pipeline.manifest.rows import CURRENT_RULES, InputRules, Shaper
from pipeline.manifest.shards import Shards
from pipeline.manifest.sql import SqlManifest, is_query
from pipeline.manifest.table_files import Tables
from pipeline.manifest.table_formats import TableFormat, accepted, format_named, format_of
from pipeline.manifest.walk import is_glob, split_glob, walk
from pipeline.media.files import on_disk
from pipeline.media.paths import PACKED, archive_kind, hub_snapshot, is_packed, root_of
from pipeline.tasks import facts
from pipeline.types import Row


class Manifest(Protocol):
    """A table of inputs that can be read more than once, as a stream.

    `root`: the folder (absolute) in which relative paths begin, and which they must not leave. A Root may allow other
    folders too. `schema_columns`: the names of all columns if the format gives them (CSV, Parquet, folders), else None.
    `identity()`: returns a text that changes when the files of the manifest change (names, sizes, times).
    `passed_over()`: returns how many files of a folder or glob are not part of the manifest, by kind.
    `rows(start)`: yields the rows in order from ordinal `start`. Raises ManifestError if a file can no longer be read.
    """

    root: str
    schema_columns: tuple[str, ...] | None

    def identity(self) -> str: ...

    def passed_over(self) -> dict[str, int]: ...

    def rows(self, start: int = 0) -> Iterator[Row]: ...


def open_manifest(spec: str, job: JobFile, rules: InputRules = CURRENT_RULES, folder: str = "/") -> Manifest:
    """Opens the manifest at an absolute path (a file, a folder or a glob), or `sql:` and a query. Relative paths in a
    query begin in `folder`, the folder of the job.

    A folder that contains an image (or, for `embed`, an audio file) at any depth is a folder of images. Otherwise its
    tables of one format are the parts of one table, or its archives are the manifest. `rules`: how the output has read
    its manifest from the beginning. Raises ManifestError if the manifest cannot be read.
    """
    if is_query(spec):
        if job.source.encoding is not None or job.source.format is not None:
            raise ManifestError("manifest.encoding and manifest.format are for files; a query says them itself")
        return SqlManifest(spec, Shaper(job, root_of(folder, job), rules), folder)
    spec = on_disk(os.path.normpath(spec))
    try:
        if Path(spec).is_dir():
            return _folder(hub_snapshot(spec) if rules.derived_ids > 1 else spec, None, spec, job, rules)
        if os.path.lexists(spec):
            return _file(spec, job, rules)
        if is_glob(spec):
            folder, pattern = split_glob(spec)
            folder = on_disk(folder)
            if not Path(folder).is_dir():
                raise ManifestError(f"{spec}: the folder {folder} does not exist{_nearest(folder)}")
            return _folder(folder, pattern, spec, job, rules)
    except OSError as error:
        raise ManifestError(f"{error.filename or spec}: cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise ManifestError(f"{spec}: the packed file is damaged: {error}") from None
    raise ManifestError(f"{spec}: there is no such file or folder{_nearest(spec)}")


def _file(path: str, job: JobFile, rules: InputRules) -> Manifest:
    if not Path(path).exists():
        raise ManifestError(f"{path}: a link that leads nowhere ({os.readlink(path)})")  # noqa: PTH115 - the text as it is
    if not Path(path).is_file():
        raise ManifestError(f"{path}: neither a file nor a folder; expected {accepted()}")
    if job.source.format is None and archive_kind(path) is not None:
        return _shards([path], str(Path(path).parent), job, rules, PassedOver())
    if job.source.format is not None and not is_packed(path):
        return _tables([path], format_named(job.source.format), str(Path(path).parent), job, rules)
    if is_packed(path):
        raise ManifestError(f"{path}: not read{PACKED}")
    kind = kind_of(path)
    if kind == "video":
        raise ManifestError(f"{path}: this is one video, not a table; name it in the field `video` of a table's row")
    if kind is not None:
        raise ManifestError(f"{path}: this is one {kind}, not a table; name its folder, or a glob that matches it")
    form = format_of(path)
    if form is None:
        raise ManifestError(f"{path}: unknown kind of manifest; expected {accepted()}")
    return _tables([path], form, str(Path(path).parent), job, rules)


def _folder(folder: str, pattern: str | None, spec: str, job: JobFile, rules: InputRules) -> Manifest:
    """Opens a folder, or (with `pattern`) the files that match a glob in the folder."""
    audio, follow = facts(job.task).embeds, rules.derived_ids > 1
    if job.source.format is not None:
        return _all_files(folder, pattern, spec, job, rules)
    found = contents(folder, pattern, audio=audio, follow=follow)
    if found.medium is not None:
        _refuse_encoding(spec, job, "pictures")
        return ImageFolder(folder, pattern, audio, found.medium, follow=follow)
    formats = found.table_formats(pattern)
    if formats and not follow:  # 0.1.0 read these tables and did not read archives
        found.leave_archives()
    if len(formats) > 1 or (formats and found.archives):
        kinds = [form.name for form in formats]
        ending = formats[0].suffixes[0][1:] if len(formats) > 1 else found.archives[0][-3:]
        more = " and archives" if found.archives else ""
        raise ManifestError(f"{spec}: holds {' and '.join(kinds)} files{more}; choose with a glob such as *.{ending}")
    if found.archives:
        return _shards(found.archives, folder, job, rules, found.passed)
    if formats:
        return _tables(found.tables[formats[0].name], formats[0], folder, job, rules, found.passed)
    raise ManifestError(f"{spec}: {found.lack(pattern)}; expected {accepted()}")


def _all_files(folder: str, pattern: str | None, spec: str, job: JobFile, rules: InputRules) -> Manifest:
    """Opens all files of a folder or glob as tables of the format that the job gives."""
    passed, files = PassedOver(), list[str]()
    for found in walk(folder, pattern, passed, follow=rules.derived_ids > 1):
        if Path(found.path).name.startswith("_"):
            passed.file(found.relative)
        else:
            files.append(found.path)
    if not files:
        raise ManifestError(f"{spec}: there is no file")
    return _tables(files, format_named(job.source.format or ""), folder, job, rules, passed)


def _refuse_encoding(spec: str, job: JobFile, what: str) -> None:
    if job.source.encoding is not None:
        raise ManifestError(f"{spec}: {what} have no encoding; take manifest.encoding out of the job")


def _tables(
    files: list[str], form: TableFormat, folder: str, job: JobFile, rules: InputRules, passed: PassedOver | None = None
) -> Tables:
    partitions = Partitions((os.path.relpath(path, folder) for path in files), folder)
    return Tables(files, form, Shaper(job, root_of(folder, job), rules, partitions), folder, passed)


def _shards(files: list[str], folder: str, job: JobFile, rules: InputRules, passed: PassedOver) -> Manifest:
    _refuse_encoding(files[0], job, "archives")
    partitions = Partitions((os.path.relpath(path, folder) for path in files), folder)
    shaper = Shaper(job, folder, rules, partitions)
    return Shards(files, shaper, passed, audio=facts(job.task).embeds)


def _nearest(path: str) -> str:
    """Returns a hint for a missing path: a similar name, or the first folder of the path that is missing."""
    missing = Path(path)
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    try:
        near = nearest(missing.name, os.listdir(missing.parent))  # noqa: PTH208 - names only
    except OSError:
        return ""
    if near is not None:
        return f"; did you mean {missing.parent / near}?"
    return "" if str(missing) == path else f"; the folder {missing} is missing"
