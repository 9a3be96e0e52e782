"""The codes of one part, in a file of their own that is made again when the part or the rule has changed."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.search.codes import VERSION, Codec
from pipeline.search.floats import Rows, in_place, places
from pipeline.store.disk import machine
from pipeline.store.parts import VECTOR_ROW_GROUP, Part, reading_part

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


DAMAGED = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile)
"""What numpy raises for a file that is gone or damaged."""


class About(msgspec.Struct, frozen=True):
    """What a file of codes was made of.

    `version`: of the codes. `size`, `changed`: bytes and time of change (ns) of the part. `blocks`: the numbers of each
    block of a vector. `mean`: a hash of the mean of the vectors. `makers`: who made the vectors of the part, each as
    `maker_of` names it. `places`: as in `floats.places`; empty if the file holds the vectors itself.
    """

    version: int
    size: int
    changed: int
    blocks: tuple[int, ...]
    mean: str
    makers: tuple[str, ...] = ()
    places: tuple[tuple[int, int], ...] = ()

    @property
    def dimension(self) -> int:
        """Returns the numbers of a vector."""
        return sum(self.blocks)


class PartCodes(msgspec.Struct, frozen=True):
    """The codes of the vectors of one part, in the order of its rows.

    `seq`: int64. `maker`: int16, places in `about.makers`; -1: the row has no vector of this dimension. `codes`: uint64
    of shape (rows, words). `factors`: float32 of shape (rows, blocks), for vectors of length 1. `lengths`: float32, of
    the vectors. `own`: the vectors, if they cannot be read in place.
    """

    about: About
    path: Path
    seq: Any
    maker: Any
    codes: Any
    factors: Any
    lengths: Any
    own: Any = None

    def vectors(self) -> list[Array]:
        """Returns the vectors of the part, float32 of shape (rows, dimension), as one or more arrays. Raises OSError,
        and ValueError if the part is shorter than it was."""
        return [self.own] if self.own is not None else in_place(self.path, self.about.places, self.about.dimension)


def wanted(part: Part, blocks: tuple[int, ...], mean: str) -> About:
    """Returns what the codes of this part must be made of now. Raises OSError."""
    stat = part.path.stat()
    return About(VERSION, stat.st_size, stat.st_mtime_ns, blocks, mean)


def read(path: Path, part: Part, about: About) -> PartCodes | None:
    """Returns the codes in the file at `path`; None if there are none, or if they are damaged or of something else."""
    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            told = msgspec.json.decode(found["about"].tobytes(), type=About)
            if msgspec.structs.replace(told, makers=(), places=()) != about:
                return None
            return PartCodes(told, part.path, **{name: found[name] for name in found.files if name != "about"})
    except (*DAMAGED, TypeError, msgspec.MsgspecError):
        return None


def write(path: Path, made: PartCodes) -> None:
    """Writes the codes in one step. Raises MachineError. The codes are not synced: damaged codes are made again."""
    import numpy as np

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    arrays = {"seq": made.seq, "maker": made.maker, "codes": made.codes, "factors": made.factors}
    arrays |= {"lengths": made.lengths, "about": np.frombuffer(msgspec.json.encode(made.about), np.uint8)}
    arrays |= {} if made.own is None else {"own": made.own}
    with machine("write the codes for search", path.parent):
        try:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def make(part: Part, about: About, mean: Array) -> PartCodes:
    """Makes the codes of a part. Reads the whole part. Raises StoreError for a damaged part, and OSError."""
    import numpy as np
    import pyarrow.parquet as pq

    with reading_part(part.path), pq.ParquetFile(part.path) as source:
        found = places(source.metadata, about.dimension) or []
        raw = Rows(in_place(part.path, found, about.dimension))
        seq, makers, maker = _facts(source)
        codec, made = Codec(about.blocks), []
        done, same = 0, len(raw) == len(seq)
        for vectors, there in batches(source, about.dimension):
            made.append(_encoded(codec, vectors, there, mean))
            same = same and _equal(raw.take(np.arange(done, done + len(vectors))), vectors)
            done += len(vectors)
        own = None if same else np.concatenate([vectors for vectors, _ in batches(source, about.dimension)])
    code, factors, lengths = (np.concatenate(arrays) for arrays in zip(*made, strict=True))
    about = msgspec.structs.replace(about, makers=makers, places=tuple(found) if same else ())
    maker[np.isnan(lengths)] = -1
    return PartCodes(about, part.path, seq, maker, code, factors, np.nan_to_num(lengths), own)


def batches(source: Any, dimension: int) -> Iterator[tuple[Array, Array]]:
    """Yields (vectors, present) of each batch of rows: float32 of shape (rows, dimension), and bool. A row without a
    vector of this dimension has zeros."""
    import numpy as np

    for batch in source.iter_batches(VECTOR_ROW_GROUP, columns=["embedding"], use_threads=False):
        column = batch.column(0)
        whole = getattr(column.type, "list_size", None) == dimension and column.null_count == 0
        if whole:
            yield column.flatten().to_numpy().reshape(-1, dimension), np.ones(len(column), bool)
            continue
        rows = column.to_pylist()
        present = np.array([row is not None and len(row) == dimension for row in rows], bool)
        vectors = np.zeros((len(rows), dimension), np.float32)
        if present.any():
            vectors[present] = [row for row, there in zip(rows, present, strict=True) if there]
        yield vectors, present


def units(vectors: Array) -> tuple[Array, Array]:
    """Returns the vectors with length 1 and their lengths. A vector that is zero or not finite becomes zero."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1).astype(np.float32)
    good = np.isfinite(lengths) & (lengths > 0)
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=good)
    return np.where(good[:, None], vectors, 0) * scale[:, None], np.where(good, lengths, np.nan)


def _encoded(codec: Codec, vectors: Array, there: Array, mean: Array) -> tuple[Array, Array, Array]:
    import numpy as np

    scaled, lengths = units(vectors)
    return *codec.encode(scaled, mean), np.where(there, lengths, np.float32(np.nan))


def _equal(one: Array, other: Array) -> bool:
    """Tells whether two arrays of floats have the same bits."""
    import numpy as np

    return np.array_equal(one.view(np.uint32), np.ascontiguousarray(other).view(np.uint32))


def maker_of(provider: str | None, model: str | None, extra: str | None) -> str:
    """Returns who made a vector. Vectors of two makers are not compared.

    The embedded service says in `extra` which layout and text model it used.
    """
    own: dict[str, Any] = {}
    if provider == "offline" and extra:
        own = msgspec.json.decode(extra, type=dict[str, Any])
    words = (provider, model, *(f"{name} {own[name]}" for name in ("layout", "maker") if name in own))
    return " · ".join(str(word) for word in words)


def _facts(source: Any) -> tuple[Array, tuple[str, ...], Array]:
    """Returns the `seq` of the rows, the makers of their vectors, and the place of each row's maker among these."""
    import numpy as np

    names: dict[str, int] = {}
    table = source.read(["seq", "provider", "model", "extra"])
    columns = [table.column(name).to_pylist() for name in ("provider", "model", "extra")]
    found = [names.setdefault(maker_of(*row), len(names)) for row in zip(*columns, strict=True)]
    return table.column("seq").to_numpy(), tuple(names), np.array(found, np.int16)
