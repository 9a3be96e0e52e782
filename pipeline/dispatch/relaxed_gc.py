"""Python's cyclic collector, asked to come by less often while rows are in flight."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
