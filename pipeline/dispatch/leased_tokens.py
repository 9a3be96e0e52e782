"""Tokens per second that runs share: the second face of a rate whose starts are leased."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.dispatch.rate import Rate

if TYPE_CHECKING:
    from pipeline.dispatch.leased import LeasedRate


class LeasedTokens(Rate):
    """Tokens per second that all runs of an account share. A lease of a start holds its tokens; what the start comes to
    beyond them is corrected with the next lease."""

    __slots__ = ("_starts", "in_force")

    def __init__(self, starts: LeasedRate, per_second: float | None) -> None:
        self._starts = starts
        self.in_force: float | None = None
        super().__init__(per_second)

    @property
    def per_second(self) -> float | None:
        """The rate in force."""
        return self.in_force

    @per_second.setter
    def per_second(self, rate: float | None) -> None:
        self.in_force = rate

    def wait(self, now: float) -> float:
        """See `Rate`. Slots allow their tokens too."""
        return super().wait(now) if self._starts.plain else 0.0

    def charge(self, now: float, amount: float = 1.0) -> None:
        """See `Rate`: of the start that was charged just now."""
        starts = self._starts
        if starts.plain:
            super().charge(now, amount)
        elif self.in_force is not None:
            starts.correction += amount - starts.reserved

    def correct(self, now: float, amount: float) -> None:
        """See `Rate`."""
        starts = self._starts
        if starts.plain:
            super().correct(now, amount)
        elif self.in_force is not None:
            starts.correction += amount
