"""Manifests from Python: Arrow tables and streams, data frames, iterables of dicts or paths."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import ManifestError
from pipeline.job.schema import JobFile
from pipeline.manifest.arrow_rows import names_of, values_of
from pipeline.manifest.named_bytes import PathIds, column_of, paths_in
from pipeline.manifest.open import Manifest
from pipeline.manifest.rows import CURRENT_RULES, InputRules, Shaper
from pipeline.manifest.spool import ArrowSpool, ObjectSpool, to_python
from pipeline.manifest.table_files import check_mapping
from pipeline.media.root import root_of
from pipeline.types import Row

if TYPE_CHECKING:
    import pyarrow as pa


class MemoryManifest:
    """Rows of `source`: a function that gives the row values from the start, as often as it is called. `ids`: names the
    rows; asked for once, when the rows are read first."""

    def __init__(
        self,
        source: Callable[[], Iterator[Any]],
        columns: tuple[str, ...] | None,
        shaper: Shaper,
        ids: Callable[[], PathIds] | None = None,
    ) -> None:
        self.root = shaper.base
        self.schema_columns = columns
        self._source = source
        self._ids = functools.cache(ids) if ids is not None else None
        self._shaper = shaper
        self._identity = secrets.token_hex(16)
        if columns is not None:
            check_mapping(shaper, columns, "the table")

    def identity(self) -> str:
        """The same for the life of this object: what it was made from is held or was copied."""
        return self._identity

    def passed_over(self) -> dict[str, int]:
        """Nothing: every row given is read."""
        return {}

    def rows(self, start: int = 0) -> Iterator[Row]:
        """The rows in order; `where` is "row N" from 1."""
        ids = self._ids() if self._ids is not None else None
        for ordinal, values in enumerate(self._source()):
            if ordinal < start:
                continue
            where, line = f"row {ordinal + 1}", f"line:{ordinal + 1}"
            if isinstance(values, str):
                values = {"image": values}
            if isinstance(values, Mapping):
                row = self._shaper.row(ordinal, where, line, values)
                yield row if ids is None else ids.named(row, values)
            else:
                message = f"found a {type(values).__name__}, expected a dict of columns or a path"
                yield self._shaper.bad(ordinal, where, line, "BadLine", message)


def from_table(table: Any, job: JobFile, base: str, rules: InputRules = CURRENT_RULES) -> Manifest:
    """A manifest from a pyarrow Table, RecordBatch or RecordBatchReader, whatever has `__arrow_c_stream__` (polars,
    pandas, duckdb), a dict of columns, or an iterable of dicts or of picture paths.

    Relative paths are taken from `media.root`, else from `base`, and must not leave it. What can change or be read
    only once (all but Arrow tables and sequences) is copied to a temporary file, which goes with the manifest. Raises
    ManifestError for anything else.
    """
    shaper = Shaper(job, root_of(os.path.abspath(base), job), rules)  # noqa: PTH100 - normalised too, links kept
    if isinstance(table, (str, bytes, os.PathLike)):
        raise ManifestError(
            "a manifest's path belongs in the job's `manifest`; a table or an iterable is expected here"
        )
    if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__"):
        return _from_arrow(table, shaper)
    if isinstance(table, Mapping):
        import pyarrow as pa

        try:
            return _from_arrow(pa.table(dict(table)), shaper)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ManifestError(f"a dict is read as a table of columns, but: {error}") from None
    if isinstance(table, Sequence):
        return MemoryManifest(lambda: map(to_python, table), None, shaper)
    if isinstance(table, Iterable):
        return MemoryManifest(ObjectSpool(table).read, None, shaper)
    raise ManifestError(f"a {type(table).__name__} is no manifest; expected a table or an iterable of dicts")


def _from_arrow(table: Any, shaper: Shaper) -> Manifest:
    import pyarrow as pa

    try:
        if not hasattr(table, "__arrow_c_stream__"):
            table = pa.Table.from_batches([pa.record_batch(table)])
        reader = None if isinstance(table, pa.Table) else pa.RecordBatchReader.from_stream(table)
    except (pa.ArrowException, TypeError, ValueError) as error:  # such as pandas for a column name given twice
        raise ManifestError(f"the {type(table).__name__} gives no table: {error}") from None
    schema = table.schema if reader is None else reader.schema
    names = names_of(schema, "the table")
    batches: Callable[[], Iterable[pa.RecordBatch]]
    batches = (lambda: table.to_batches(max_chunksize=4096)) if reader is None else ArrowSpool(reader).read
    column = None if shaper.as_written else column_of(schema, shaper.names, shaper.id_name)
    ids = None if column is None else (lambda: PathIds(column, paths_in(batches(), column)))
    return MemoryManifest(lambda: (values for batch in batches() for values in values_of(batch)), names, shaper, ids)
