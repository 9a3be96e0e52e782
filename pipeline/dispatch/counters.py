"""The counts of a running pool's attempts."""

from __future__ import annotations

from collections import deque

import anyio

from pipeline.counters import Counters
from pipeline.types import Usage


class AdmissionRate:
    """The attempts admitted in each of the last ten seconds."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=11)

    def admitted(self, now: float) -> None:
        """Counts an attempt that was admitted at `now`."""
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((second, 1))

    def per_second(self, began: float) -> float:
        """Returns the attempts admitted per second over the last ten whole seconds, or since `began`."""
        now = anyio.current_time()
        span = min(10.0, max(1.0, now - began))
        return sum(count for second, count in self._seconds if second >= now - span) / span


def count_attempt(counters: Counters, usage: Usage, cost: float | None, currency: str | None, *, free: bool) -> None:
    """Counts an attempt that has ended. free: the attempt certainly costs nothing."""
    counters.attempts += 1
    if usage.input_tokens:
        counters.input_tokens = (counters.input_tokens or 0) + usage.input_tokens
    if usage.output_tokens:
        counters.output_tokens = (counters.output_tokens or 0) + usage.output_tokens
    if cost is not None:
        counters.cost = (counters.cost or 0.0) + cost
        counters.currency = currency
    elif not free:
        counters.unknown_cost_attempts += 1
