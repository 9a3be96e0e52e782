"""Slow start: how fast an account begins while no limit of its service is known."""

from __future__ import annotations

import math
from collections import deque

GAIN = 2 * math.log(2)
"""Starts paced at GAIN · concurrency / latency, with one more slot for each answer, double in each round trip."""
ALIKE = 1.3
HISTORY = 4096
HISTORY_SECONDS = 1.0


class Start:
    """Paces the starts of a slow start, so that a round trip's answers do not send the next round all at once.

    `rate` is starts per second, None until the first answer and when nothing needs pacing any more. The first sign of
    a limit sets it back to what was sent when that sign's request was, for services refuse a round trip late. A second
    sign at about that rate makes it the `limit`.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._sent: deque[float] = deque(maxlen=HISTORY)
        self.limit: float | None = None
        self._sign: float | None = None
        self._set_back_at = float("-inf")

    def began(self, now: float) -> None:
        """An attempt starts."""
        self._sent.append(now)

    def grow(self, concurrency: float, latency: float) -> None:
        """An answer came while the queue was held back; `concurrency` is the limit that it leads to."""
        per_slot = GAIN / max(latency, 1e-3)
        self.rate = concurrency * per_slot if self.rate is None else self.rate + per_slot

    def set_back(self, now: float, started: float, *, rare: bool) -> bool:
        """A refusal of a request sent at `started`, the first one for long if `rare`. True if that explains it: it is
        the first sign of a limit, or was sent before the first sign was known."""
        if self.rate is None:
            return False
        if started <= self._set_back_at:
            return True
        if rare:
            self._set_back_at = now
            back = min(self.rate, self.rate_before(started) or self.rate)
            if self._sign is not None and back <= ALIKE * self._sign:
                self.limit = back
            self.rate = self._sign = back
        return rare

    def rate_before(self, started: float) -> float | None:
        """Starts in the second up to `started`: what a service that counts by the second took before it refused one.
        None when that is too long ago to be known."""
        if not self._sent or (len(self._sent) == HISTORY and self._sent[0] > started - HISTORY_SECONDS):
            return None
        return sum(started - HISTORY_SECONDS < at < started for at in self._sent) / HISTORY_SECONDS

    def end(self) -> None:
        """Nothing needs pacing any more: a limit was found, or more concurrency only queues."""
        self.rate = None
