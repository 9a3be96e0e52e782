"""Which questions were answered: a compact index from fingerprint to the `seq` of an outcome, for millions of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.store.layout import Layout
from pipeline.store.parts import all_parts, live_parts, reading_part

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

RECENT = 8_192
"""Entries held as Python objects before they go into the arrays: 1 MB."""
SHARE = 8
"""The small arrays are merged into the large ones when they are an eighth of them: each entry is moved a few times, and
a lookup searches two arrays. A merge into a million takes 13 ms."""

_LENGTH = 32
_DIGITS = 16


class FingerprintIndex:
    """16 bytes an entry: the first 64 bits of the fingerprint and the `seq`, in sorted arrays; 3 µs a lookup or an
    addition at a million entries (tests/bench/bench_sharing.py).

    Two fingerprints that agree in 64 bits are taken for one: whoever reads the outcome compares the whole fingerprint.
    An entry that is added again replaces the earlier one.
    """

    def __init__(self, recent: int = RECENT) -> None:
        self._most = recent
        self._recent: dict[int, int] = {}
        self._small = self._large = _Sorted.of([], [])

    @classmethod
    def load(cls, layout: Layout) -> FingerprintIndex:
        """All answers in the parts of an output; of equal questions the first one, whose row bought it. Blocking.

        Fingerprints of another length than ours are left out. Raises StoreError for a damaged part.
        """
        import numpy as np

        keys: list[np.ndarray[Any, Any]] = []
        seqs: list[np.ndarray[Any, Any]] = []
        for table in _columns(layout):
            for batch in table.to_batches():
                found, places = _keys(batch.column(0))
                keys.append(found)
                seqs.append(batch.column(1).to_numpy()[places])
        index = cls()
        if keys:
            different, first = np.unique(np.concatenate(keys), return_index=True)
            index._large = _Sorted(different, np.concatenate(seqs)[first])
        return index

    def __len__(self) -> int:
        """About how many entries there are: one that was replaced lately counts twice."""
        return len(self._recent) + len(self._small) + len(self._large)

    @property
    def nbytes(self) -> int:
        """Bytes held, the objects of recent entries counted as 150 each."""
        return self._small.nbytes + self._large.nbytes + 150 * len(self._recent)

    def get(self, fingerprint: str) -> int | None:
        """The `seq` under this fingerprint, None if there is none."""
        key = int(fingerprint[:_DIGITS], 16)
        found = self._recent.get(key)
        if found is None:
            found = self._small.get(key)
        return self._large.get(key) if found is None else found

    def add(self, fingerprint: str, seq: int) -> None:
        """Adds an entry or replaces its `seq`."""
        self._recent[int(fingerprint[:_DIGITS], 16)] = seq
        if len(self._recent) >= self._most:
            self._small = self._small.merged(_Sorted.of(self._recent.keys(), self._recent.values()))
            self._recent = {}
            if len(self._small) * SHARE > len(self._large):
                self._large, self._small = self._large.merged(self._small), _Sorted.of([], [])


class _Sorted:
    """Entries in two arrays, sorted by key; no key twice."""

    def __init__(self, keys: np.ndarray[Any, Any], seqs: np.ndarray[Any, Any]) -> None:
        self._arrays = keys, seqs
        # A view hands out plain numbers, several times quicker than the array does.
        self._keys, self._seqs = keys.data, seqs.data

    @classmethod
    def of(cls, keys: Any, seqs: Any) -> _Sorted:
        import numpy as np

        unsorted = np.fromiter(keys, np.uint64, len(keys))
        order = np.argsort(unsorted)
        return cls(unsorted[order], np.fromiter(seqs, np.int64, len(seqs))[order])

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def nbytes(self) -> int:
        return self._keys.nbytes + self._seqs.nbytes

    def get(self, key: int) -> int | None:
        place = bisect_left(self._keys, key)
        return self._seqs[place] if place < len(self._keys) and self._keys[place] == key else None

    def merged(self, newer: _Sorted) -> _Sorted:
        """The entries of both; under a key of both, the newer one."""
        import numpy as np

        # Of equal keys `unique` keeps the first: the newer ones stand before.
        keys, first = np.unique(np.concatenate([newer._arrays[0], self._arrays[0]]), return_index=True)
        return _Sorted(keys, np.concatenate([newer._arrays[1], self._arrays[1]])[first])


def _columns(layout: Layout) -> Iterator[pa.Table]:
    """`fingerprint` and `seq` of every answer, in the order in which they were given."""
    import pyarrow.parquet as pq

    for part in live_parts(all_parts(layout.dataset("results"))):
        with reading_part(part.path):
            yield pq.read_table(part.path, columns=["fingerprint", "seq"], use_threads=False, pre_buffer=False)


def _keys(text: pa.StringArray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The first 64 bits of each fingerprint, from its hexadecimal digits, and the places of those that have the right
    length; none of them becomes a Python object."""
    import numpy as np
    import pyarrow as pa

    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    places = np.flatnonzero(np.diff(offsets) == _LENGTH)
    if len(places) < len(text):  # rare: such a batch goes through a copy
        return _keys(text.take(pa.array(places)))[0], places
    data = np.frombuffer(text.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    code = data.reshape(-1, _LENGTH)[:, :_DIGITS]
    half = np.where(code >= ord("a"), code - (ord("a") - 10), code - ord("0"))
    return (half[:, 0::2] << 4 | half[:, 1::2]).copy().view(">u8").astype(np.uint64).ravel(), places
