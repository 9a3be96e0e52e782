"""Whether answers take longer because too many are in flight."""

from __future__ import annotations

from typing import Literal

LEAST_ROUND = 16.0
FADE = 1.02
"""The best round fades by a fiftieth a round, so that a service that became slower is not taken for crowded forever."""
YES, MUCH = 2.0, 3.0


class Rounds:
    """Latency by rounds of as many answers as are in flight, against the best round so far, in seconds."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self.best: float | None = None
        self._state: Literal["", "yes", "much"] = ""

    def queueing(self, latency: float, limit: float) -> Literal["", "yes", "much"]:
        """`yes` when answers take twice as long as in the best round, `much` once at the end of a round over three."""
        self._count += 1
        self._sum += latency
        if self._count < max(LEAST_ROUND, limit):
            return "yes" if self._state else ""
        mean = self._sum / self._count
        self.best = mean if self.best is None else min(self.best * FADE, mean)
        self._count, self._sum = 0, 0.0
        self._state = "much" if mean > MUCH * self.best else "yes" if mean > YES * self.best else ""
        return self._state
