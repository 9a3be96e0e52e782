"""One rate limit as arithmetic: the generic cell rate algorithm, without a clock of its own."""

from __future__ import annotations

MAX_CATCH_UP_SECONDS = 0.02
"""The most lateness of a timer that is made up for. Event loops wake milliseconds late. At 50 starts per second, this
lateness costs per cents of the quota. With a punctual clock, there is no lateness."""


ROUNDING = 1e-9
"""Shorter waits are only the rounding of sums of times."""


class Rate:
    """A limit of `per_second` units (requests or tokens), with `burst` units at once (1 for requests; the tokens of a
    request pass together).

    The law, as long as nothing is granted: in any window of W seconds the charged amount is at most per_second · W +
    burst, where a single charge larger than burst counts as the burst. Times are of one monotonic clock, in seconds.
    None = no limit. `given` is the `per_second` that the limit was made with; infinite for None.
    """

    __slots__ = ("_slack", "_until", "burst", "given", "per_second")

    def __init__(self, per_second: float | None, burst: float = 1.0) -> None:
        self.given = float("inf") if per_second is None else per_second
        self.per_second = per_second
        self.burst = burst
        self._until = float("-inf")
        self._slack = 0.0

    def wait(self, now: float) -> float:
        """Returns the seconds until the next charge may be made; 0 if the charge may be made now."""
        if self.per_second is None:
            return 0.0
        wait = self._until - now - (self.burst - 1.0) / self.per_second
        return wait if wait > ROUNDING else 0.0

    def waited_for(self, now: float) -> None:
        """Notes that an attempt slept until this rate allowed the start. The lateness of that sleep is not lost (up to
        20 ms)."""
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
        """Lets `credit` units start at once, in addition to the units that are charged ahead. Without credit, the next
        unit waits until the rate has caught up with the units that are charged ahead."""
        if self.per_second is not None:
            ahead = max(0.0, self._until - now) * self.per_second
            self.burst = max(1.0, ahead + credit) if credit > 0 else 1.0

    def correct(self, now: float, amount: float) -> None:
        """Adds the units by which a charge exceeded its estimate. A negative amount gives units back, but never beyond
        `now`."""
        if self.per_second is None or not amount:
            return
        floor = min(self._until, now) if amount < 0 else now
        self._until = max(floor, max(self._until, floor) + amount / self.per_second)
