"""The starts that a run holds from a ledger, and the rate of their tokens."""

from __future__ import annotations

from collections import deque

from pipeline.dispatch.rate import Rate


class HeldStarts:
    """Start times that were leased and not used yet.

    amounts: the tokens that were leased with each start; empty while tokens have no ceiling. reserved: the tokens of
    the start that was used last. correction: tokens to report to the ledger, beyond those that were leased. plain:
    nothing is leased, and the run's own rate counts.
    """

    __slots__ = ("amounts", "correction", "plain", "reserved", "times")

    def __init__(self) -> None:
        self.times: deque[float] = deque()
        self.amounts: deque[float] = deque()
        self.correction = self.reserved = 0.0
        self.plain = True

    def use(self) -> None:
        """Takes the first start."""
        self.times.popleft()
        self.reserved = self.amounts.popleft() if self.amounts else 0.0

    def void_before(self, time: float) -> None:
        """Drops the starts before `time`, and gives their tokens back with the next lease."""
        while self.times and self.times[0] < time:
            self.times.popleft()
            if self.amounts:
                self.correction -= self.amounts.popleft()

    def clear(self) -> None:
        """Forgets all starts, without a correction."""
        self.times.clear()
        self.amounts.clear()


class LeasedTokens(Rate):
    """Tokens per second that all runs of an account share. The lease of a start holds the start's tokens. Tokens that a
    start uses beyond its lease are reported with the next lease."""

    __slots__ = ("_held",)

    def __init__(self, held: HeldStarts, per_second: float | None) -> None:
        super().__init__(per_second)
        self._held = held

    def wait(self, now: float) -> float:
        """See `Rate`. A leased start may use its tokens at once."""
        return super().wait(now) if self._held.plain else 0.0

    def charge(self, now: float, amount: float = 1.0) -> None:
        """See `Rate`. Counts the tokens of the start that was used last."""
        if self._held.plain:
            super().charge(now, amount)
        elif self.per_second is not None:
            self._held.correction += amount - self._held.reserved

    def correct(self, now: float, amount: float) -> None:
        """See `Rate`."""
        if self._held.plain:
            super().correct(now, amount)
        elif self.per_second is not None:
            self._held.correction += amount
