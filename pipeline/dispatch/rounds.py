"""How many requests are in flight at once. The number grows while more requests help, and falls when answers take
longer because of the number."""

from __future__ import annotations

import math
from typing import Literal

from pipeline.dispatch.start import FIRST, FIRST_SLOTS, MOST, ramped

FADE = 1.02
"""The best round grows worse by a fiftieth each round, so that a service that became slower is not taken for crowded
for ever."""
YES, MUCH = 2.0, 3.0
DEVIATIONS = 4.0
"""RFC 6298, section 2: the timeout lies this many mean deviations above the mean."""
PACED_SECONDS = 10.0
"""If the user gives a rate, there are slots at first for answers that take this long. So many slots do no harm, because
the rate paces the starts."""


class Rounds:
    """The mean latency of each round, compared with the best round so far, in seconds. A round is as many answers as
    requests are in flight."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self.best: float | None = None
        self._state: Literal["", "yes", "much"] = ""

    def queueing(self, latency: float, limit: float) -> Literal["", "yes", "much"]:
        """Returns `yes` if answers take more than twice as long as in the best round. Returns `much` once, at the end
        of a round of more than three times the best. Otherwise returns an empty text."""
        self._count += 1
        self._sum += latency
        if self._count < max(FIRST, limit):
            return "yes" if self._state else ""
        mean = self._sum / self._count
        self.best = mean if self.best is None else min(self.best * FADE, mean)
        self._count, self._sum = 0, 0.0
        self._state = "much" if mean > MUCH * self.best else "yes" if mean > YES * self.best else ""
        return self._state


class Usual:
    """How long something usually takes, in seconds, as RFC 6298 measures round trips: the mean, and the mean
    deviation."""

    def __init__(self) -> None:
        self.mean = self._deviation = 0.0

    def add(self, seconds: float) -> None:
        if not self.mean:
            self.mean, self._deviation = seconds, seconds / 2
        self._deviation += (abs(seconds - self.mean) - self._deviation) / 4
        self.mean += (seconds - self.mean) / 8

    @property
    def most(self) -> float:
        """Returns a time that nearly no measured time exceeds."""
        return self.mean + DEVIATIONS * self._deviation


class Concurrency:
    """The slots. The slots double every round trip until answers queue or MOST slots are reached. From then on, one
    slot is added in each round trip.

    named: the user's number, which is used whatever happens. latency: seconds that an answer takes, 0 before the first
    answer.
    """

    def __init__(self, named: int | None, ceiling: float | None) -> None:
        self.named = named is not None
        self.doubling = named is None
        self.latency = 0.0
        self._top = named or MOST
        self.slots = float(named or min(self._top, FIRST_SLOTS + (ceiling or 0.0) * PACED_SECONDS))
        self._rounds = Rounds()
        self._from = self._began = math.inf

    def limit(self, now: float, rate: float | None) -> int:
        """Returns the most requests in flight. rate: starts per second that the slots must not hold back."""
        if self.named:
            return ramped(self._top, now - self._from)
        if not self.latency:
            return int(self.slots + FIRST * max(0.0, now - self._began))
        if self.doubling or rate is None or self._rounds.best is None:
            return int(self.slots)
        return min(self._top, max(int(self.slots), int(1.5 * rate * self._rounds.best) + 4))

    def ramp(self, now: float) -> float:
        """Returns the seconds until `limit` has grown by itself; infinite if `limit` does not grow by itself."""
        if self.named:
            return 0.05 if self.limit(now, None) < self._top else math.inf
        return math.inf if self.latency else 1 / FIRST

    def recall(self, latency: float) -> None:
        """Takes over how long answers take, as an earlier run found it."""
        self.latency = self._rounds.best = max(latency, 1e-3)

    def began(self, now: float) -> None:
        """Notes that a request starts."""
        if math.isinf(self._began):
            self._began = now
        if math.isinf(self._from):
            self._from = now

    def resumed(self, at: float) -> None:
        """Begins gently again at `at`."""
        self._from = at

    def answered(self, latency: float, in_flight: int, *, slot_bound: bool, rate_bound: bool) -> None:
        """Learns from an answer. Adds slots while the slots hold the queue back, or while the slots double and the rate
        holds the queue back. Takes slots away when answers take several times as long as in the best round."""
        if not self.latency and not self.named:
            self.slots = max(self.slots, min(self._top, in_flight))
        self.latency += (latency - self.latency) * (0.1 if self.latency else 1.0)
        if not self.named:
            self._grow(latency, slot_bound, rate_bound)

    def _grow(self, latency: float, slot_bound: bool, rate_bound: bool) -> None:
        queueing = self._rounds.queueing(latency, self.slots)
        if queueing == "much":
            self.slots = max(4.0, self.slots * 0.85)
        if not queueing and (slot_bound or (self.doubling and rate_bound)):
            self.slots = min(self._top, self.slots + (1.0 if self.doubling else 1.0 / self.slots))
        if queueing or self.slots >= self._top:
            self.doubling = False
