"""The names of a table's columns: none twice, and none empty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def refuse_repeated(names: Sequence[str]) -> None:
    """Raises ValueError, in words, for a name that stands twice: its values could not be told apart."""
    repeated = next((name for name, count in Counter(names).items() if count > 1 and name), None)
    if repeated is not None:
        places = [str(place) for place, name in enumerate(names, 1) if name == repeated]
        raise ValueError(f"the column name {repeated!r} is given twice (columns {' and '.join(places)})")


def positioned(names: Sequence[str]) -> list[str]:
    """`names` with `column_N` (N from 1) for each empty one; an underscore behind it where that name is taken."""
    taken = set(names)
    found = []
    for place, name in enumerate(names, 1):
        if not name:
            name = f"column_{place}"
            while name in taken:
                name += "_"
        found.append(name)
    return found
