"""Manifests from Python: Arrow tables and streams, data frames, iterables of dicts or paths."""

from __future__ import annotations

import functools
import os
import pickle
import secrets
import tempfile
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from pipeline.errors import ManifestError
from pipeline.job.schema import JobFile
from pipeline.manifest.arrow_rows import names_of, values_of
from pipeline.manifest.ids import PathIds, column_of, paths_in
from pipeline.manifest.open import Manifest
from pipeline.manifest.rows import CURRENT_RULES, InputRules, Place, Shaper
from pipeline.manifest.table_files import check_mapping
from pipeline.media.paths import root_of
from pipeline.media.python_images import file_of_array, file_of_image, is_image_array, is_pil
from pipeline.types import Row

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 1000


class ObjectSpool:
    """Rows of an iterable, pickled in chunks into a file without a name. The file goes with this object or the process.

    The rows are pickled because pickle keeps every Python value. Nobody else can write to the file.
    """

    def __init__(self, rows: Iterable[Any]) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._chunks: list[tuple[int, int]] = []
        chunk: list[Any] = []
        for row in rows:
            chunk.append(to_python(row))
            if len(chunk) == _CHUNK:
                self._write(chunk)
                chunk = []
        if chunk:
            self._write(chunk)
        self._file.flush()

    def read(self) -> Iterator[Any]:
        """Yields all rows, with one chunk in memory at a time. Several readers may read alternately."""
        for offset, length in self._chunks:
            with self._lock:
                self._file.seek(offset)
                body = self._file.read(length)
            yield from pickle.loads(body)  # noqa: S301 - written by this process to a file without a name

    def _write(self, chunk: list[Any]) -> None:
        body = pickle.dumps(chunk, protocol=pickle.HIGHEST_PROTOCOL)
        self._chunks.append((self._file.tell(), len(body)))
        self._file.write(body)


class ArrowSpool:
    """The batches of an Arrow stream that can be read only once. Each batch is a stream in a file without a name.

    Batches may have different dictionaries (categories), which one Arrow file cannot hold.
    """

    def __init__(self, reader: pa.RecordBatchReader) -> None:
        import pyarrow as pa

        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._places: list[tuple[int, int]] = []
        for batch in reader:
            for start in range(0, batch.num_rows, 4096):
                place = self._file.tell()
                with pa.ipc.new_stream(pa.PythonFile(self._file, mode="w"), reader.schema) as writer:
                    writer.write_batch(batch.slice(start, 4096))
                self._places.append((place, self._file.tell() - place))
        self._file.flush()

    def read(self) -> Iterator[pa.RecordBatch]:
        """Yields all batches, with one batch in memory at a time."""
        import pyarrow as pa

        for place, length in self._places:
            with self._lock:
                self._file.seek(place)
                body = self._file.read(length)
            yield pa.ipc.open_stream(body).read_next_batch()


def to_python(value: Any) -> Any:
    """Returns a value of a row that was built in Python as plain Python: numpy scalars and arrays, paths, UUIDs.

    NaN becomes None, because pandas writes NaN for a missing value. Images (PIL, or arrays that are images) become the
    bytes of a file.
    """
    if isinstance(value, str):
        # Half a surrogate pair is not valid Unicode and cannot be stored.
        return value if value.isascii() else value.encode(errors="replace").decode()
    if value is None or isinstance(value, (bool, int, bytes)):
        return value
    if isinstance(value, float):
        return None if value != value else float(value)
    if isinstance(value, dict):
        return {str(key): to_python(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_python(item) for item in value]
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, os.PathLike):
        return to_python(os.fspath(value))
    return _of_other_kind(value)


def _of_other_kind(value: Any) -> Any:
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if is_pil(value):
        return file_of_image(value)
    if is_image_array(value):
        return file_of_array(value)
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return to_python(value.tolist())
    return value


class MemoryManifest:
    """A manifest of rows in memory or in a spool.

    `source`: a function that returns the values of all rows from the start each time it is called. `ids`: a function
    that returns the PathIds of the rows. It is called once, when the rows are read for the first time.
    """

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
        """Returns a text that stays the same for the life of this object, because its rows are held or were copied."""
        return self._identity

    def passed_over(self) -> dict[str, int]:
        """Returns no counts, because all given rows are read."""
        return {}

    def rows(self, start: int = 0) -> Iterator[Row]:
        """Yields the rows in order. `where` is "row N" from 1."""
        ids = self._ids() if self._ids is not None else None
        for ordinal, values in enumerate(self._source()):
            if ordinal < start:
                continue
            place = Place(ordinal, f"row {ordinal + 1}", f"line:{ordinal + 1}")
            if isinstance(values, str):
                values = {"image": values}
            if isinstance(values, Mapping):
                row = self._shaper.row(place, values)
                yield row if ids is None else ids.named(row, values)
            else:
                message = f"found a {type(values).__name__}, expected a dict of columns or a path"
                yield self._shaper.bad(place, "BadLine", message)


def from_table(table: Any, job: JobFile, base: str, rules: InputRules = CURRENT_RULES) -> Manifest:
    """Returns the manifest of a pyarrow Table, RecordBatch or RecordBatchReader, an object with `__arrow_c_stream__`
    (polars, pandas, duckdb), a dict of columns, or an iterable of dicts or of image paths.

    Relative paths begin in `media.root`, else in `base`, and must not leave this folder. A source that can change or
    can be read only once (all but Arrow tables, dicts and sequences) is copied to a temporary file, which goes with the
    manifest. Raises ManifestError for any other object.
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
    except (pa.ArrowException, TypeError, ValueError) as error:  # pandas: a column name given twice
        raise ManifestError(f"the {type(table).__name__} gives no table: {error}") from None
    schema = table.schema if reader is None else reader.schema
    names = names_of(schema, "the table")
    batches: Callable[[], Iterable[pa.RecordBatch]]
    batches = (lambda: table.to_batches(max_chunksize=4096)) if reader is None else ArrowSpool(reader).read
    column = None if shaper.as_written else column_of(schema, shaper.names, shaper.id_name)
    ids = None if column is None else (lambda: PathIds(column, paths_in(batches(), column)))
    return MemoryManifest(lambda: (values for batch in batches() for values in values_of(batch)), names, shaper, ids)
