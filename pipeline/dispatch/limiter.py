"""The admission of attempts: concurrency, requests and tokens together, first come first served."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice

import anyio

from pipeline.dispatch import clock
from pipeline.dispatch.rate import ROUNDING, Rate
from pipeline.errors import Fault, refusal

NEVER = float("inf")


class Ticket:
    """One admitted attempt, which holds a slot until `Admission.release`. at: when the attempt was admitted. number:
    the attempt's place in the order of all attempts."""

    __slots__ = ("at", "estimate", "number", "tokens")

    def __init__(self, at: float, tokens: int, estimate: int | None, number: int = 0) -> None:
        self.at = at
        self.number = number
        self.tokens = tokens
        self.estimate = estimate


class _Waiter:
    __slots__ = ("estimate", "event", "gone", "ticket", "tokens", "wakes_at")

    def __init__(self, tokens: int, estimate: int | None) -> None:
        self.tokens = tokens
        self.estimate = estimate
        self.event: anyio.Event | None = None
        self.ticket: Ticket | None = None
        self.wakes_at = NEVER
        self.gone = False


class Admission:
    """The queue of attempts that wait to be sent.

    `requests` and `tokens` are rates per second (None = no limit). `limit` returns the concurrency in force, and is
    read at each decision. `pause` returns the seconds for which no attempt may start. `ramp` returns the seconds until
    the limit may have grown by itself. These three are functions of the clock's time, so that ramps and cool-downs need
    no task. Each decision is O(1).
    """

    def __init__(
        self,
        requests: Rate,
        tokens: Rate,
        *,
        limit: Callable[[float], int],
        pause: Callable[[float], float] = lambda now: 0.0,
        ramp: Callable[[float], float] = lambda now: NEVER,
    ) -> None:
        self.requests = requests
        self.tokens = tokens
        self.in_flight = 0
        self.admitted = 0
        self.rate_bound = False
        self.slot_bound = False
        self._limit = limit
        self._pause = pause
        self._ramp = ramp
        self._queue: deque[_Waiter] = deque()
        self._slower = requests
        self._mean_tokens = 0.0
        self._ratio = 1.0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def spare(self, now: float) -> int:
        """Returns how many slots are free now."""
        return max(0, self._limit(now) - self.in_flight)

    def startable(self, now: float, most: int) -> list[int]:
        """Returns the tokens of the first attempts in the queue: as many as there are free slots, at most `most`."""
        return [waiter.tokens for waiter in islice(self._queue, min(most, self.spare(now))) if not waiter.gone]

    async def acquire(self, tokens: int | None) -> Ticket:
        """Waits for admission. tokens: the estimate; None reserves the mean of the replies so far.

        Raises Fault (`Local.TooManyTokens`) if an attempt needs more tokens than a minute allows.
        """
        waiter = _Waiter(self._reservation(tokens), tokens)
        self._queue.append(waiter)
        try:
            while waiter.ticket is None:
                first = self._queue[0] is waiter
                if first:
                    now = clock.now()
                    self.wake(now)
                    if waiter.ticket is not None:
                        break
                waiter.event = event = anyio.Event()
                await (self._first(waiter, event, now) if first else event.wait())
        except BaseException:
            self._abandon(waiter)
            raise
        return waiter.ticket

    def release(self, ticket: Ticket, used: int | None = None, *, now: float | None = None) -> None:
        """Gives the slot back and settles the tokens. used: tokens as the service counted them; None = as reserved.

        Limits that have changed since the last decision are in force from now on.
        """
        self.in_flight -= 1
        now = anyio.current_time() if now is None else now
        if used is not None:
            self._learn(used, ticket.estimate)
            self.tokens.correct(now, used - ticket.tokens)
        self.wake(now)

    def wake(self, now: float) -> None:
        """Admits attempts from the front of the queue, as far as the limits allow now."""
        limit = self._limit(now) if self._queue else 0
        while self._queue:
            waiter = self._queue[0]
            if waiter.gone:
                self._queue.popleft()
                continue
            delay = self._delay(now, limit)
            if delay > 0:
                if now + delay < waiter.wakes_at - ROUNDING and waiter.event is not None:
                    waiter.event.set()
                return
            self._queue.popleft()
            self._admit(waiter, now)
        self.slot_bound = self.rate_bound = False

    def _reservation(self, tokens: int | None) -> int:
        per_second = self.tokens.per_second
        if per_second is None:
            return tokens or 0
        if tokens is None:
            return min(round(self._mean_tokens), int(per_second * 60))
        if tokens > self.tokens.given * 60:
            raise too_many_tokens(tokens, self.tokens.given * 60)
        return min(tokens, round(tokens * self._ratio))

    def _learn(self, used: int, estimate: int | None) -> None:
        """Learns how many tokens a reply used. Estimates are upper bounds, and tokens that were reserved in excess come
        back too late to be used in full. Therefore the largest recent share of an estimate that a reply used scales the
        next reservations."""
        if not used:
            return
        self._mean_tokens += (used - self._mean_tokens) * (0.05 if self._mean_tokens else 1.0)
        if estimate:
            share = min(1.0, used / estimate)
            self._ratio = max(share, self._ratio + (share - self._ratio) * 0.02)

    def _delay(self, now: float, limit: int) -> float:
        """Returns the seconds until the first attempt in the queue may start; NEVER if the attempt must wait for a
        release."""
        self.rate_bound = False
        paused = self._pause(now)
        if paused > ROUNDING:
            return paused
        self.slot_bound = self.in_flight >= limit
        if self.slot_bound:
            return self._ramp(now)
        requests, tokens = self.requests.wait(now), self.tokens.wait(now)
        self._slower = self.requests if requests >= tokens else self.tokens
        waits = max(requests, tokens)
        self.rate_bound = waits > 0
        return waits

    def _admit(self, waiter: _Waiter, now: float) -> None:
        self.requests.charge(now)
        self.tokens.charge(now, waiter.tokens)
        self.in_flight += 1
        self.admitted += 1
        waiter.ticket = Ticket(now, waiter.tokens, waiter.estimate, self.admitted)
        if waiter.event is not None:
            waiter.event.set()

    async def _first(self, waiter: _Waiter, event: anyio.Event, now: float) -> None:
        """Sleeps until the first attempt in the queue may start, or until something changes."""
        delay = self._delay(now, self._limit(now))
        waiter.wakes_at = now + delay
        slower = self._slower
        with anyio.move_on_after(None if delay == NEVER else delay) as scope:
            await event.wait()
        if waiter.ticket is None and scope.cancelled_caught and self.rate_bound:
            slower.waited_for(anyio.current_time())

    def _abandon(self, waiter: _Waiter) -> None:
        """Takes a cancelled waiter out of the queue, or gives the waiter's slot back. The next waiter may be the first
        now."""
        if waiter.ticket is not None:
            self.in_flight -= 1
        waiter.gone = True
        self.wake(anyio.current_time())


def too_many_tokens(tokens: int, per_minute: float) -> Fault:
    """Returns the refusal of a request that is larger than the limit of a whole minute."""
    return refusal(
        "TooManyTokens", f"an estimated {tokens} tokens, more than the {per_minute:g} a minute of limits.tpm"
    )
