"""A table in one or several files of one format, read as one stream of rows."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator

from pipeline.errors import ManifestError
from pipeline.job.values import did_you_mean, for_message
from pipeline.manifest.kinds import PassedOver
from pipeline.manifest.rows import Shaper
from pipeline.manifest.table_formats import TableFormat
from pipeline.types import Row


class Tables:
    """A table in `files` (absolute paths, in order) below `folder`.

    `passed`: the files that are not part of the table. Raises ManifestError at once if a file cannot be read.
    """

    def __init__(
        self, files: list[str], form: TableFormat, shaper: Shaper, folder: str, passed: PassedOver | None = None
    ) -> None:
        self.root = shaper.base
        self._folder = folder
        self._files = files
        self._passed = passed or PassedOver()
        self._reader = form.open(files, shaper, shaper.encoding)
        columns = self._reader.columns
        self.schema_columns = None if columns is None else shaper.also(columns)
        if self.schema_columns is not None:
            check_mapping(shaper, self.schema_columns, files[0] if len(files) == 1 else folder)

    def identity(self) -> str:
        """Returns a hash of each file's path, size, modification time and inode."""
        digest = hashlib.sha256()
        for path in self._files:
            try:
                facts = os.stat(path)  # noqa: PTH116
            except OSError as error:
                raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
            digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ino}\n".encode(errors="replace"))
        return digest.hexdigest()

    def passed_over(self) -> dict[str, int]:
        """Returns the counts of the files that are not part of the table, by kind."""
        return self._passed.counts()

    def rows(self, start: int = 0) -> Iterator[Row]:
        """Yields the rows of all files in order. A row's `where` is the file's path below the manifest's folder and the
        number of the line (in Parquet, of the row) from 1. Raises ManifestError."""
        ordinal = 0
        for path in self._files:
            name = os.path.relpath(path, self._folder)
            prefix = "line:" if len(self._files) == 1 else f"line:{name}:"
            try:
                ordinal = yield from self._reader.read(path, name, start, ordinal, prefix)
            except OSError as error:
                raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from None
            except (EOFError, zlib.error) as error:
                raise ManifestError(f"{path}: damaged: {error}") from None


def check_mapping(shaper: Shaper, columns: tuple[str, ...], where: str) -> None:
    """Raises ManifestError if the job names a column that the table does not have."""
    for field, name in shaper.mapped.items():
        if name not in columns:
            hint = did_you_mean(name, columns) or "; it has " + ", ".join(columns[:20])
            raise ManifestError(f"{where}: there is no column {for_message(name)} (columns.{field} of the job){hint}")
