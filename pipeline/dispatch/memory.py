"""Memory of a run: the bound on rows that are prepared, and a garbage collector that runs less often."""

from __future__ import annotations

import gc
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class MemoryLimit:
    """The bound on the bytes of prepared rows. `acquire` is called before a row is prepared, `release` when the row has
    ended.

    The size of a row is known only when the row is prepared. Until then the mean of the last rows is counted. A row
    that is larger than the bound is prepared alone.
    """

    def __init__(self, most_bytes: int) -> None:
        self.bytes = 0
        self.rows = 0
        self._most_bytes = most_bytes
        self._mean = 0.0
        self._queue: deque[anyio.Event] = deque()

    async def acquire(self) -> int:
        """Waits until a row fits. Returns the bytes that are counted for the row until `settle`."""
        while self.rows and self.bytes + self._mean > self._most_bytes:
            event = anyio.Event()
            self._queue.append(event)
            try:
                await event.wait()
            except BaseException:
                if event.is_set():
                    self._wake()
                else:
                    self._queue.remove(event)
                raise
        taken = round(self._mean)
        self.rows += 1
        self.bytes += taken
        return taken

    def settle(self, taken: int, size: int) -> int:
        """Counts `size` bytes for a row that is prepared now, instead of `taken`. Returns the bytes that are counted
        now."""
        self._mean += (size - self._mean) * (0.1 if self._mean else 1.0)
        self.bytes += size - taken
        if size < taken:
            self._wake()
        return size

    def release(self, taken: int) -> None:
        """Gives back the bytes of a row that has ended."""
        self.rows -= 1
        self.bytes -= taken
        self._wake()

    def _wake(self) -> None:
        if self._queue:
            self._queue.popleft().set()


RELAXED = (50_000, 20, 20)
"""Thresholds of the garbage collector. 2,000 rows in flight are about 200,000 objects, and no object is garbage. With
the default thresholds (700, 10, 10) the collector visits the objects again and again: 40 % of the CPU at 2,000 in
flight. A row that has ended leaves no cycle that holds its request (tests/faults/test_garbage.py), so little memory
waits for a collection. Measured at 2,000 in flight, 3 s latency: 425 µs a row by default, 313 at 10,000, 273 at
50,000."""

_lock = threading.Lock()
_runs = 0
_before = gc.get_threshold()


@contextmanager
def relaxed_gc() -> Iterator[None]:
    """Raises the collector's thresholds of this process as long as any block of `relaxed_gc` lasts, in any thread."""
    global _runs, _before
    with _lock:
        if not _runs:
            _before = gc.get_threshold()
            gc.set_threshold(*(max(pair) for pair in zip(RELAXED, _before, strict=True)) if _before[0] else _before)
        _runs += 1
    try:
        yield
    finally:
        with _lock:
            _runs -= 1
            if not _runs:
                gc.set_threshold(*_before)
