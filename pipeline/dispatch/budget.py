"""The budget of a run. The worst cost of each attempt is reserved before the attempt is sent, so that the ceiling is
never passed."""

from __future__ import annotations

from collections import deque

import anyio

ROUNDING = 1e-9


class Spent(Exception):
    """Is raised if the next attempt does not fit, and no attempt in flight can give money back."""


class Budget:
    """The money of one run, in the currency of the price.

    At any moment `spent + reserved <= max_cost`. Reservations are served in order. A reservation that does not fit
    waits for settlements, and raises `Spent` when no other reservation is left. max_cost: None = no ceiling.
    """

    def __init__(self, max_cost: float | None = None) -> None:
        self.max_cost = max_cost
        self.spent = 0.0
        self.reserved = 0.0
        self._open = 0
        self._queue: deque[anyio.Event] = deque()

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def reserve(self, worst: float) -> None:
        """Waits until `worst` fits. Raises Spent."""
        if self._queue or not self._fits(worst):
            await self._turn(worst)
        self.reserved += worst
        self._open += 1

    def settle(self, worst: float, cost: float | None) -> None:
        """Ends the reservation of an attempt that cost `cost`. None = the cost is not known: the worst case is
        charged."""
        self.reserved = max(0.0, self.reserved - worst)
        self._open -= 1
        if not self._open:
            self.reserved = 0.0
        self.spent += worst if cost is None else cost
        self._wake()

    def message(self) -> str:
        """Returns a text for people: the ceiling and the money that was spent."""
        return f"the budget of {self.max_cost:g} has no room for the next request: {self.spent:.4g} is spent"

    def _fits(self, worst: float) -> bool:
        return self.max_cost is None or self.spent + self.reserved + worst <= self.max_cost + ROUNDING

    async def _turn(self, worst: float) -> None:
        event = anyio.Event()
        self._queue.append(event)
        try:
            while self._queue[0] is not event or not self._fits(worst):
                if self._queue[0] is event and not self._open:
                    raise Spent
                await event.wait()
                place = self._queue.index(event)
                self._queue[place] = event = anyio.Event()
        finally:
            self._queue.remove(event)
            self._wake()

    def _wake(self) -> None:
        if self._queue:
            self._queue[0].set()
