"""A table in one or several files of one kind, read as one stream of rows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pipeline.errors import ManifestError
from pipeline.manifest import jsonl
from pipeline.manifest.rows import Shaper
from pipeline.types import Row

TableKind = Literal["jsonl", "csv", "parquet"]


class Tables:
    """The rows of `files` (absolute paths, in order). Raises ManifestError at once for a file that cannot be read."""

    def __init__(self, files: list[str], kind: TableKind, shaper: Shaper) -> None:
        self.root = shaper.base
        self._files = files
        self._shaper = shaper
        self._reader = jsonl
        self.schema_columns: tuple[str, ...] | None = None
        for path in files:
            jsonl.check(path)

    def identity(self) -> str:
        """Over each file's path, size, time of change and inode."""
        digest = hashlib.sha256()
        for path in self._files:
            try:
                facts = os.stat(path)  # noqa: PTH116
            except OSError as error:
                raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
            digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\0{facts.st_ino}\n".encode(errors="replace"))
        return digest.hexdigest()

    def rows(self, start: int = 0) -> Iterator[Row]:
        ordinal = 0
        for path in self._files:
            for row in jsonl.read(path, Path(path).name, self._shaper, 0, ordinal, "line:"):
                ordinal = row.ordinal + 1
                if row.ordinal >= start:
                    yield row
