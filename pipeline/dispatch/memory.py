"""Memory of a run: the bound on rows that are prepared, and a garbage collector that runs less often."""

from __future__ import annotations

import gc
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class MemoryLimit:
    """Rows enter before they are prepared and leave when they have ended.

    A row's bytes are known only afterwards, so that it enters for the mean of the last ones, and is settled. A row
    larger than the whole room enters alone.
    """

    def __init__(self, most_bytes: int) -> None:
        self.bytes = 0
        self.rows = 0
        self._most_bytes = most_bytes
        self._mean = 0.0
        self._queue: deque[anyio.Event] = deque()

    async def acquire(self) -> int:
        """Waits for room; the bytes taken for now."""
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
        """The row is prepared: it holds `size` bytes. Returns what it has taken now."""
        self._mean += (size - self._mean) * (0.1 if self._mean else 1.0)
        self.bytes += size - taken
        if size < taken:
            self._wake()
        return size

    def release(self, taken: int) -> None:
        """The row has ended."""
        self.rows -= 1
        self.bytes -= taken
        self._wake()

    def _wake(self) -> None:
        if self._queue:
            self._queue.popleft().set()


RELAXED = (50_000, 20, 20)
"""Every 2,000 rows in flight come to some 200,000 objects, none of them garbage, which the default thresholds (700, 10,
10) go through again and again: 40 % of the CPU at 2,000 in flight. A row that is answered or fails leaves no cycle
that holds its request (tests/faults/test_garbage.py), so that little waits for a collection. Measured at 2,000 in
flight, 3 s latency: 425 µs a row by default, 313 at 10,000, 273 at 50,000."""

_lock = threading.Lock()
_runs = 0
_before = gc.get_threshold()


@contextmanager
def relaxed_gc() -> Iterator[None]:
    """Raises the process's thresholds for as long as a block of this kind lasts, in any thread."""
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
