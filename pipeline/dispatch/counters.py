"""Counts what a running pool did since its start."""

from __future__ import annotations

from collections import deque

import anyio

from pipeline.types import Usage


class Counters:
    """Counts as the pool goes along; cheap enough for each attempt."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.left = 0
        self.attempts = 0
        self.throttled = 0
        self.faults = 0
        self.retries = 0
        self.waiting_retries = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0
        self.unknown_costs = 0
        self.currency: str | None = None
        self._seconds: deque[tuple[int, int]] = deque(maxlen=11)

    def admitted(self, now: float) -> None:
        """One attempt was admitted at `now`."""
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((second, 1))

    def per_second(self, began: float) -> float:
        """Attempts admitted per second over the last ten whole seconds, or since `began`."""
        now = anyio.current_time()
        span = min(10.0, max(1.0, now - began))
        return sum(count for second, count in self._seconds if second >= now - span) / span

    def attempt(self, usage: Usage, cost: float | None, currency: str | None, *, free: bool) -> None:
        """One attempt is over."""
        self.attempts += 1
        self.input_tokens += usage.input_tokens or 0
        self.output_tokens += usage.output_tokens or 0
        if cost is not None:
            self.cost += cost
            self.currency = currency
        elif not free:
            self.unknown_costs += 1
