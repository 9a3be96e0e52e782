"""The nearest rows by vector among the rows of a report: exact, by the cosine of the angle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.store.read import query

if TYPE_CHECKING:
    import duckdb
    import numpy

NEAREST = 6
_ROWS = 512
"""Rows whose distances to all rows are in memory at a time."""


class Vectors:
    """The vectors of some rows of `results`, by `seq`. Holds 4 bytes a number: 120 MB for 20,000 × 1536."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seqs: Sequence[int]) -> None:
        import numpy as np

        sql = (
            "select seq, embedding from results where embedding is not null and seq in "
            "(select unnest($seqs::bigint[])) order by seq"
        )
        table = query(connection, sql, {"seqs": list(seqs)}).to_arrow_table()
        self._seqs: list[int] = table["seq"].to_pylist()
        flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        found = np.nan_to_num(
            np.asarray(flat, np.float32).reshape(len(self._seqs), -1) if self._seqs else np.empty((0, 1))
        )
        length = np.linalg.norm(found, axis=1, keepdims=True)
        self._unit = np.divide(found, length, out=np.zeros_like(found), where=length > 0)
        self._places = {seq: place for place, seq in enumerate(self._seqs)}

    def __len__(self) -> int:
        return len(self._seqs)

    def nearest(self) -> dict[int, list[Any]]:
        """Returns `seq` → [[seq of a near row, cosine], …], the nearest first, for every row."""
        found: dict[int, list[Any]] = {}
        for first in range(0, len(self._seqs), _ROWS):
            cosines = self._unit[first : first + _ROWS] @ self._unit.T
            for offset, row in enumerate(cosines):
                found[self._seqs[first + offset]] = self._best(row, first + offset)
        return found

    def nearest_to(self, seq: int) -> list[Any]:
        """Returns the same for one row; an empty list if the row is not among the rows."""
        place = self._places.get(seq)
        return [] if place is None else self._best(self._unit @ self._unit[place], place)

    def _best(self, cosines: numpy.ndarray[Any, Any], own: int) -> list[Any]:
        import numpy as np

        cosines[own] = -np.inf
        count = min(NEAREST, len(self._seqs) - 1)
        places = np.argpartition(-cosines, count - 1)[:count] if count > 0 else np.empty(0, np.int64)
        ordered = places[np.argsort(-cosines[places], kind="stable")]
        return [[self._seqs[place], round(float(cosines[place]), 4)] for place in ordered]
