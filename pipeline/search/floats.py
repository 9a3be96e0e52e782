"""The vectors of a part, read in place: no Parquet reader is needed for single vectors.

A part's vectors are plain floats without compression, and each row group's vectors are one page (`store.part_writer`).
So the floats are the last bytes of the column in this row group. Whether they are is looked at when the codes are made;
the vectors of other parts, such as those that version 0.1.0 wrote, are kept beside the codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

COLUMN = "embedding.list.element"


def places(meta: Any, dimension: int) -> list[tuple[int, int]] | None:
    """Returns (first byte, rows) of the vectors of each row group; None if they cannot be where this module expects
    them.

    meta: the part's pyarrow metadata. dimension: floats of each vector.
    """
    found = []
    for number in range(meta.num_row_groups):
        group = meta.row_group(number)
        column = next((c for c in map(group.column, range(group.num_columns)) if c.path_in_schema == COLUMN), None)
        size = group.num_rows * dimension * 4
        if column is None or column.compression != "UNCOMPRESSED" or column.num_values != group.num_rows * dimension:
            return None
        if column.has_dictionary_page or column.total_compressed_size < size:
            return None
        found.append((column.data_page_offset + column.total_compressed_size - size, group.num_rows))
    return found


def in_place(path: Path, places: Sequence[tuple[int, int]], dimension: int) -> list[Array]:
    """Returns the vectors of each row group as arrays over the file itself, float32 of shape (rows, dimension).

    Raises OSError, and ValueError for a file that is too short.
    """
    import numpy as np

    whole = np.memmap(path, np.uint8, "r")
    arrays = []
    for start, rows in places:
        piece = whole[start : start + rows * dimension * 4]
        arrays.append(np.frombuffer(piece, "<f4").reshape(rows, dimension))
    return arrays


class Rows:
    """Arrays of vectors one after the other, of which single rows are taken."""

    def __init__(self, pieces: Sequence[Array]) -> None:
        self._pieces = list(pieces)
        self._bounds = [0]
        for piece in pieces:
            self._bounds.append(self._bounds[-1] + len(piece))

    def __len__(self) -> int:
        return self._bounds[-1]

    def take(self, rows: Array) -> Array:
        """Returns the vectors of these rows (ascending), float32 of shape (rows, dimension)."""
        import numpy as np

        inside = np.searchsorted(rows, self._bounds)
        taken = [
            piece[rows[first:last] - start]
            for piece, start, first, last in zip(self._pieces, self._bounds, inside, inside[1:], strict=False)
            if last > first
        ]
        return np.concatenate(taken) if taken else np.zeros((0, 0), np.float32)
