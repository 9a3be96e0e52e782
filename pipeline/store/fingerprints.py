"""A compact index of answered questions, for millions of entries: fingerprint → `seq` of an outcome."""

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
"""New entries that are held as Python objects (1 MB) before they go into the arrays."""
SHARE = 8
"""The small arrays are merged into the large arrays when they have more than an eighth of the entries of the large
arrays. So each entry is moved only a few times, and a lookup searches two arrays. A merge into a million entries takes
13 ms."""

_LENGTH = 32
_DIGITS = 16


class FingerprintIndex:
    """An index in sorted arrays: fingerprint → `seq`.

    An entry takes 16 bytes: the first 64 bits of the fingerprint, and the `seq`. At a million entries, a lookup or an
    addition takes 3 µs (tests/bench/bench_sharing.py). Two fingerprints with the same first 64 bits have one entry: the
    code that reads the outcome compares the whole fingerprint. A later entry replaces an earlier entry of the same
    fingerprint.
    """

    def __init__(self, recent: int = RECENT) -> None:
        self._most = recent
        self._recent: dict[int, int] = {}
        self._small = self._large = _Sorted.of([], [])

    @classmethod
    def load(cls, layout: Layout) -> FingerprintIndex:
        """Returns an index of all answers in the parts of an output. Blocking.

        Of several answers to one question, the first answer is taken: its row bought the answer. Fingerprints that do
        not have 32 digits are left out. Raises StoreError for a damaged part.
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
        """Returns about how many entries there are. An entry that was replaced lately may count twice."""
        return len(self._recent) + len(self._small) + len(self._large)

    @property
    def nbytes(self) -> int:
        """The bytes that the index holds. A recent entry counts as 150 bytes."""
        return self._small.nbytes + self._large.nbytes + 150 * len(self._recent)

    def get(self, fingerprint: str) -> int | None:
        """Returns the `seq` of this fingerprint. Returns None if the fingerprint has no entry."""
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
    """Entries in two arrays (keys, `seq`), sorted by key. Each key stands once."""

    def __init__(self, keys: np.ndarray[Any, Any], seqs: np.ndarray[Any, Any]) -> None:
        self._arrays = keys, seqs
        # A memoryview returns plain numbers, several times faster than the array does.
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
        """Returns the entries of both. If both have a key, the entry of `newer` is taken."""
        import numpy as np

        # Of equal keys, `unique` keeps the first. So the newer entries stand first.
        keys, first = np.unique(np.concatenate([newer._arrays[0], self._arrays[0]]), return_index=True)
        return _Sorted(keys, np.concatenate([newer._arrays[1], self._arrays[1]])[first])


def _columns(layout: Layout) -> Iterator[pa.Table]:
    """Yields `fingerprint` and `seq` of all answers, part by part, in the order of the parts."""
    import pyarrow.parquet as pq

    for part in live_parts(all_parts(layout.dataset("results"))):
        with reading_part(part.path):
            yield pq.read_table(part.path, columns=["fingerprint", "seq"], use_threads=False, pre_buffer=False)


def _keys(text: pa.StringArray) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Returns the first 64 bits of each fingerprint of the right length, and the places of these fingerprints.

    The bits are read from the hexadecimal digits. No fingerprint becomes a Python object.
    """
    import numpy as np
    import pyarrow as pa

    offsets = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    places = np.flatnonzero(np.diff(offsets) == _LENGTH)
    if len(places) < len(text):  # rare: a batch with other lengths is copied without them
        return _keys(text.take(pa.array(places)))[0], places
    data = np.frombuffer(text.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    code = data.reshape(-1, _LENGTH)[:, :_DIGITS]
    half = np.where(code >= ord("a"), code - (ord("a") - 10), code - ord("0"))
    return (half[:, 0::2] << 4 | half[:, 1::2]).copy().view(">u8").astype(np.uint64).ravel(), places
