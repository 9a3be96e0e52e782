"""The vectors of one output as they are searched: the codes of all parts, made or extended when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import MachineError
from pipeline.search import sidecar
from pipeline.search.codes import Codec
from pipeline.search.floats import Rows
from pipeline.search.sidecar import PartCodes
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.layout import Layout
from pipeline.store.parts import VECTOR_ROW_GROUP, Part, all_parts, live_parts, reading_part
from pipeline.types import TaskName

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

CANDIDATES = 1_000
"""Vectors that are compared exactly, at least. How many of the ten nearest are among them: tests/bench/README.md."""
_SHARE = 500
"""Of more than 500,000 vectors, one in so many is compared exactly."""
_FIRST = 32
"""One vector in so many is chosen by the signs of the query."""
_SAMPLE = 5_000
"""Vectors of which the mean is taken."""
_GROWTH = 8
"""If an output has so many times the rows that it had when the mean was taken, the mean is taken again."""


class Near(NamedTuple):
    """Rows by nearness: `seq` of the answers, int64, and the cosine of the angle to the query, float32."""

    seq: Array
    scores: Array


class Index:
    """The codes of an output's vectors. `blocks`: the numbers of each block of a vector. `makers`: who made them, as
    `maker_of` names them.

    `codes`: uint64 of shape (words, rows). `paths`: the parts. `notes`: what a person should know of the index.
    """

    def __init__(self, parts: list[PartCodes], blocks: tuple[int, ...], notes: tuple[str, ...] = ()) -> None:
        import numpy as np

        self.dimension = sum(blocks)
        self.notes = notes
        rows = sum(len(part.seq) for part in parts)
        self._codec = Codec(blocks)
        self.seq = np.concatenate([part.seq for part in parts]) if parts else np.zeros(0, np.int64)
        self.codes = np.empty((self._codec.words, rows), np.uint64)
        self._factors = np.empty((len(blocks), rows), np.float32)
        self._lengths = np.empty(rows, np.float32)
        self.makers: list[str] = list(dict.fromkeys(name for part in parts for name in part.about.makers))
        self.maker = np.empty(rows, np.int16)
        self.paths = [part.path for part in parts]
        self._first = np.cumsum([0, *(len(part.seq) for part in parts)])
        self._vectors = Rows([piece for part in parts for piece in part.vectors()])
        start = 0
        for part in parts:
            self._add(part, start)
            start += len(part.seq)

    def _add(self, part: PartCodes, start: int) -> None:
        import numpy as np

        place = slice(start, start + len(part.seq))
        self.codes[:, place] = part.codes.T
        self._factors[:, place], self._lengths[place] = part.factors.T, part.lengths
        names = np.array([*map(self.makers.index, part.about.makers), -1], np.int16)
        self.maker[place] = names[part.maker]

    def nearest(self, query: Array, count: int, among: Array) -> Near:
        """Returns the `count` nearest of the rows that `among` (bool, one for each row) allows.

        query: float32 of shape (dimension,). The scores are exact; the choice is by the codes (see CANDIDATES).
        """
        import numpy as np

        unit = sidecar.units(query[None])[0][0]
        chosen = self._candidates(self._codec.query(unit), count, among)
        scores = self.exact(chosen) @ unit
        best = np.argsort(-scores, kind="stable")[:count]
        return Near(self.seq[chosen[best]], scores[best])

    def _candidates(self, query: Any, count: int, among: Array) -> Array:
        """Returns the rows to compare exactly, in ascending order: first chosen by the signs of the query alone, then
        among these by its numbers."""
        import numpy as np

        wanted = max(CANDIDATES, 4 * count, len(self.seq) // _SHARE)
        keys = self._codec.order_keys(self.codes, self._factors, query)
        keys[~among] = -np.inf
        chosen = _largest(keys, min(int(among.sum()), max(8 * wanted, len(keys) // _FIRST)))
        if len(chosen) > wanted:
            finer = self._codec.order_keys(self.codes[:, chosen], self._factors[:, chosen], query, fine=True)
            chosen = chosen[_largest(finer, wanted)]
        return chosen

    def parts_of(self, seq: Array) -> list[Path]:
        """Returns the parts that hold these answers."""
        import numpy as np

        places = np.flatnonzero(np.isin(self.seq, seq))
        return [self.paths[number] for number in np.unique(np.searchsorted(self._first, places, "right") - 1)]

    def exact(self, rows: Array) -> Array:
        """Returns the vectors of these rows (ascending), with length 1."""
        import numpy as np

        lengths = self._lengths[rows]
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        return self._vectors.take(rows).reshape(-1, self.dimension) * scale[:, None]


def _largest(keys: Array, count: int) -> Array:
    """Returns the places of the largest keys, in ascending order."""
    import numpy as np

    return np.sort(np.argpartition(-keys, max(0, min(count, len(keys)) - 1))[:count])


def load(output: Path, task: TaskName, blocks: Sequence[int] = ()) -> Index | None:
    """Returns the index of an output; None if the output has no vectors. Makes and keeps the codes that are missing.

    blocks: the numbers of each block of a vector, where vectors are made of blocks that a query may leave zero. Raises
    StoreError for a damaged part. If the codes cannot be kept, a note says so.
    """
    layout = Layout(output)
    folder = layout.dataset("results")
    dimension = DatasetSchema.load(folder, task).dimension
    parts = live_parts(all_parts(folder))
    if dimension is None or not parts:
        return None
    whole = tuple(blocks) if sum(blocks) == dimension else (dimension,)
    keeper = _Keeper(layout.search, parts, whole)
    found = [keeper.codes(part) for part in parts]
    keeper.remove_others(parts)
    return Index(found, whole, tuple(keeper.notes))


class _Keeper:
    def __init__(self, folder: Path, parts: list[Part], blocks: tuple[int, ...]) -> None:
        self._folder = folder
        self._blocks = blocks
        self._dimension = sum(blocks)
        self.notes: dict[str, None] = {}
        self._mean = self._kept_mean(parts)
        self._id = hashlib.sha256(self._mean.tobytes()).hexdigest()[:16]

    def codes(self, part: Part) -> PartCodes:
        about = sidecar.wanted(part, self._blocks, self._id)
        path = self._folder / f"{part.path.stem}.npz"
        found = sidecar.read(path, part, about)
        if found is None:
            found = sidecar.make(part, about, self._mean)
            self._keep(lambda: sidecar.write(path, found))
        return found

    def remove_others(self, parts: list[Part]) -> None:
        """Deletes the codes of parts that are gone."""
        known = {f"{part.path.stem}.npz" for part in parts} | {"mean.npz"}
        for path in self._folder.glob("*.npz"):
            if path.name not in known:
                path.unlink(missing_ok=True)

    def _keep(self, write: Any) -> None:
        try:
            self._folder.mkdir(exist_ok=True)
            write()
        except (OSError, MachineError) as error:
            self.notes[f"the codes are made anew by each search, because they cannot be kept: {error}"] = None

    def _kept_mean(self, parts: list[Part]) -> Array:
        import numpy as np

        path = self._folder / "mean.npz"
        rows = sum(_rows(part) for part in parts)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                mean: Array = found["mean"]
                if mean.shape == (self._dimension,) and rows < _GROWTH * int(found["rows"]):
                    return mean
        except sidecar.DAMAGED:
            pass
        mean = _mean(parts, self._dimension)
        self._keep(lambda: np.savez(path, mean=mean, rows=rows))
        return mean


def _rows(part: Part) -> int:
    import pyarrow.parquet as pq

    with reading_part(part.path):
        return int(pq.read_metadata(part.path).num_rows)


def _mean(parts: list[Part], dimension: int) -> Array:
    """Returns the mean of some vectors, spread evenly over the parts, float32 of shape (dimension,)."""
    import numpy as np

    step = max(1, len(parts) * VECTOR_ROW_GROUP // _SAMPLE)
    total, count = np.zeros(dimension), 0
    for vectors in _first_batches(parts[::step], dimension):
        total += vectors.sum(axis=0)
        count += len(vectors)
    return (total / max(1, count)).astype(np.float32)


def _first_batches(parts: list[Part], dimension: int) -> Iterator[Array]:
    import pyarrow.parquet as pq

    for part in parts:
        with reading_part(part.path), pq.ParquetFile(part.path) as source:
            for number, (vectors, _) in enumerate(sidecar.batches(source, dimension)):
                yield sidecar.units(vectors)[0]
                if number * VECTOR_ROW_GROUP >= _SAMPLE / len(parts):
                    break
