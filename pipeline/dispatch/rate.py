"""One rate limit as arithmetic: the generic cell rate algorithm, without a clock of its own."""

from __future__ import annotations

MAX_CATCH_UP_SECONDS = 0.02
"""How late a timer may be and still be made up for: event loops wake milliseconds late, which at 50 starts per second
is per cents of the quota. It never applies on a clock that is punctual."""


ROUNDING = 1e-9
"""Waits below this are the rounding of sums of times, not waits."""


class Rate:
    """Starts of `per_second` units (requests or tokens), `burst` units at once (1 for requests; tokens pass whole).

    The law, as long as nothing is granted: in any window of W seconds the charged amount is at most
    per_second · W + burst, where a single charge larger than burst counts as the burst. Times are of one monotonic
    clock, in seconds. None = no limit. `given` is the rate that it was made with.
    """

    __slots__ = ("_slack", "_until", "burst", "given", "per_second")

    def __init__(self, per_second: float | None, burst: float = 1.0) -> None:
        self.given = float("inf") if per_second is None else per_second
        self.per_second = per_second
        self.burst = burst
        self._until = float("-inf")
        self._slack = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next charge may be made; 0 when it may be made now."""
        if self.per_second is None:
            return 0.0
        wait = self._until - now - (self.burst - 1.0) / self.per_second
        return wait if wait > ROUNDING else 0.0

    def waited_for(self, now: float) -> None:
        """Someone slept until this rate allowed it: lateness of that sleep is not lost (up to 20 ms)."""
        if self.per_second is not None:
            due = self._until - (self.burst - 1.0) / self.per_second
            self._slack = min(max(0.0, now - due), MAX_CATCH_UP_SECONDS)

    def charge(self, now: float, amount: float = 1.0) -> None:
        """Counts a start of `amount` units at `now`."""
        if self.per_second is None:
            return
        self._until = max(self._until, now - self._slack) + amount / self.per_second
        self._slack = 0.0

    def grant(self, now: float, credit: float) -> None:
        """`credit` units may start at once, on top of what was charged ahead; for none, the next one waits until the
        rate has caught up with what was."""
        if self.per_second is not None:
            ahead = max(0.0, self._until - now) * self.per_second
            self.burst = max(1.0, ahead + credit) if credit > 0 else 1.0

    def correct(self, now: float, amount: float) -> None:
        """Adds what a charge came to beyond its estimate; a negative amount gives back, never beyond `now`."""
        if self.per_second is None or not amount:
            return
        floor = min(self._until, now) if amount < 0 else now
        self._until = max(floor, max(self._until, floor) + amount / self.per_second)
