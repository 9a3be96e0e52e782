"""Temporary copies of what can be read only once, so that a manifest can be read again."""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
import uuid
import weakref
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from pipeline.media.python_images import file_of_array, file_of_image, is_image_array, is_pil

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK = 1000


class ObjectSpool:
    """Rows of an iterable, pickled in chunks into a file without a name: it goes with this object, or the process.

    Pickle, because it keeps every Python value as it is; nobody else can write to the file.
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
        """All rows, one chunk in memory at a time; several readers may take turns."""
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
    """The batches of a one-shot Arrow stream, each a stream of its own in a file without a name.

    Each on its own, because batches may have different dictionaries (categories), which one Arrow file cannot hold.
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
        """All batches, one in memory at a time."""
        import pyarrow as pa

        for place, length in self._places:
            with self._lock:
                self._file.seek(place)
                body = self._file.read(length)
            yield pa.ipc.open_stream(body).read_next_batch()


def to_python(value: Any) -> Any:
    """Plain Python for what rows built in Python hold: numpy scalars and arrays, paths, NaN as no value (pandas).

    Pictures (PIL, or arrays that are pictures) become the bytes of a file.
    """
    if isinstance(value, str):
        # Half a surrogate pair is no Unicode and could not be stored.
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
