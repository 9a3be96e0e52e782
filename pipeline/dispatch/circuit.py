"""Says when so many calls fail that the service or the job is broken, never for a few bad rows."""

from __future__ import annotations

from collections import deque

from pipeline.errors import Fault

BROKEN = frozenset({"throttled", "transient", "malformed", "rejected"})
"""Faults that speak of the service or the job. Blocked and suspect answers speak of a picture."""


class Circuit:
    """Opens when, of the last `min_calls` calls that were sent, at least `ratio` failed."""

    def __init__(self, ratio: float, min_calls: int) -> None:
        self._ratio = ratio
        self._calls: deque[bool] = deque(maxlen=max(1, min_calls))
        self._failed = 0

    def ended(self, fault: Fault | None) -> bool:
        """Counts one call that was sent; True when the circuit opens."""
        calls = self._calls
        broken = fault is not None and fault.kind in BROKEN
        if len(calls) == calls.maxlen:
            self._failed -= calls[0]
        calls.append(broken)
        self._failed += broken
        return len(calls) == calls.maxlen and self._failed >= self._ratio * len(calls)

    def words(self, fault: Fault) -> str:
        """For people: the counts and the last fault."""
        return f"{self._failed} of the last {len(self._calls)} calls failed, the last one with {fault}"
