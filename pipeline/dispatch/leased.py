"""Rates whose starts and tokens are leased from a ledger: they replace `Rate` where runs share a quota."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from pipeline.dispatch.ledger import Ask, Grant, Ledger, LedgerError, Terms, lower
from pipeline.dispatch.rate import MAX_CATCH_UP_SECONDS, ROUNDING, Rate


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


BLOCK_SECONDS = 0.1
"""So much of the rate is leased at a time, and the next lease is taken while so much is left (half of it in a run that
is alone): a run whose loop is busy for a while still has starts, and other runs wait no longer than this for theirs."""
ALONE_SECONDS = 0.25
"""Of a run that met no other one: fewer leases. Still within the horizon, so that a second run begins at once."""
OWN_RATE_SECONDS = 0.2
"""Of a run whose own rate is below the ceiling: its slots are rarer, and among runs that lease more they come late."""
MOST_STARTS = 512
ANSWER_SECONDS = 1.0
"""A ledger that has not answered for so long is done without, and tried again after as long."""
Ceilings = tuple[float | None, float | None]
"""Of one run: requests and tokens per second; None = none."""
NO_TERMS = Terms(most_starts=None, most_tokens=None, paused=0.0)


class Demand(Protocol):
    """The queue in front of the rates."""

    def startable(self, now: float, most: int) -> Sequence[float]:
        """The tokens of the first in the queue, at most `most` and at most as many as have a slot free now."""

    def spare(self, now: float) -> int:
        """How many slots are free now."""

    def wake(self, now: float) -> None:
        """Decides anew."""


class LeasedRate(Rate):
    """Requests per second that all runs of an account share; `tokens` is its second face, for tokens.

    `per_second` is the rate in force: the lower of the one that was set (this run's own) and the ceiling of all runs.
    While no run states a ceiling, nothing is leased, and the run's own rate counts. A start is made at its slot or up
    to 20 ms later; a later slot is void. A run whose own rate is below the ceiling takes its leases at that rate: its
    starts keep the law of `Rate` for windows that are longer by the ledger's horizon. Without a ledger (it fails, or
    does not answer) this is a plain `Rate`; `problem` says why.

    most: this run's own ceilings, requests and tokens per second. heard: called with the terms of each answer. clock:
    the clock of the `now` that the methods are given.
    """

    __slots__ = (
        "_alone",
        "_amounts",
        "_ask_at",
        "_asked_at",
        "_asking",
        "_charged",
        "_clock",
        "_demand",
        "_due",
        "_few",
        "_heard",
        "_in_force",
        "_inside",
        "_last",
        "_ledger",
        "_own",
        "_paced",
        "_sent",
        "_slots",
        "_without",
        "correction",
        "most",
        "plain",
        "problem",
        "reserved",
        "terms",
        "tokens",
    )

    def __init__(
        self,
        ledger: Ledger,
        demand: Demand,
        *,
        most: Ceilings,
        heard: Callable[[Terms], None],
        clock: Callable[[], float],
    ) -> None:
        self._ledger, self._demand, self._heard, self._clock = ledger, demand, heard, clock
        self.most = most
        self._slots: deque[float] = deque()
        self._amounts: deque[float] = deque()
        self._ask_at = self._due = self._asked_at = self._last = float("-inf")
        self._asking = self._inside = self._without = False
        self._alone = True
        self._few = 0
        self._charged = 0
        self._own: float | None = None
        self._sent = self.correction = self.reserved = 0.0
        self.problem: str | None = None
        self.terms = NO_TERMS
        self.plain, self._paced = True, False
        self.tokens = LeasedTokens(self, most[1])
        super().__init__(most[0])

    @property
    def per_second(self) -> float | None:
        """The rate in force. Setting it sets the run's own."""
        return self._in_force

    @per_second.setter
    def per_second(self, rate: float | None) -> None:
        if rate != self._own:
            self._own = rate
            self._decide()

    def wait(self, now: float) -> float:
        """See `Rate`. Takes a lease when one is due."""
        if self.plain:
            return super().wait(now)
        slots = self._slots
        if slots and slots[0] < now - MAX_CATCH_UP_SECONDS:
            self._void_late(now)
        if now >= self._ask_at and (not slots or slots[0] > now) and self._may_ask(now):
            self._lease(now)
            if self.plain:
                return super().wait(now)
        if slots and slots[0] <= now + ROUNDING:
            return 0.0
        wait = self._ask_at - now
        if self._paced:
            wait = max(wait, super().wait(now))
            wait = min(wait, slots[0] - now) if slots else wait
        elif slots:
            wait = slots[0] - now
        return max(wait, 10 * ROUNDING)

    def charge(self, now: float, amount: float = 1.0) -> None:
        """See `Rate`: uses the next slot up."""
        self._charged += 1
        if self.plain:
            super().charge(now, amount)
        if self._slots:
            self._slots.popleft()
            self.reserved = self._amounts.popleft() if self._amounts else 0.0

    def waited_for(self, now: float) -> None:
        """See `Rate`. Slots have their times: one that is used late makes no other one later."""
        if self.plain:
            super().waited_for(now)

    def look(self, now: float) -> None:
        """States this run's ceilings and learns the terms, unless a lease has just done so."""
        if now < self._asked_at + (ANSWER_SECONDS if self._without or self._asking else BLOCK_SECONDS):
            return
        if self._asking:
            self.do_without("the ledger does not answer")
        else:
            self._due = self._ask_at
            self._ask(now, ())

    def flush(self) -> None:
        """The run is over: the ledger learns what the last starts came to."""
        while self._slots:
            self._void()
        if self.correction and not self._without:
            self._ask(self._clock(), ())

    def do_without(self, reason: str) -> None:
        """The ledger fails: what this run knows itself counts, until the ledger answers again."""
        self.problem = self.problem or reason
        self._without, self._asking = True, False
        self._slots.clear()
        self._amounts.clear()
        self.terms = NO_TERMS
        self._decide()

    def _decide(self) -> None:
        own, shared = self._own, self.terms.most_starts
        self._in_force = lower(own, shared)
        self.tokens.in_force = lower(self.most[1], self.terms.most_tokens)
        self.plain = shared is None and self.terms.most_tokens is None
        self._paced = own is not None and (shared is None or own < shared * (1 - ROUNDING))

    def _void_late(self, now: float) -> None:
        while self._slots and self._slots[0] < now - MAX_CATCH_UP_SECONDS:
            self._void()

    def _void(self) -> None:
        self._slots.popleft()
        if self._amounts:
            self.correction -= self._amounts.popleft()

    def _may_ask(self, now: float) -> bool:
        """A run with a lower rate of its own asks at that rate: no slot is void because it comes too early."""
        return super().wait(now) == 0.0 if self._paced else len(self._slots) <= self._few

    def _lease(self, now: float) -> None:
        if self._asking:
            self.do_without("the ledger does not answer")
            return
        wanted = self._wanted(now)
        if wanted:
            self._ask(now, wanted)
        else:
            self._ask_at = now + MAX_CATCH_UP_SECONDS

    def _wanted(self, now: float) -> Sequence[float]:
        """The tokens of the starts that can be made in the next tenth of a second, beyond those that are leased.

        Where starts are not held back by the rate, hardly anybody waits: as many more are leased as were made in as
        long as a slot stays good.
        """
        held, rate = len(self._slots), self._in_force
        seconds = ALONE_SECONDS if self._alone else BLOCK_SECONDS
        if self._paced:
            seconds = MAX_CATCH_UP_SECONDS
        most = MOST_STARTS if rate is None else max(1, min(MOST_STARTS, int(rate * seconds)))
        waiting = self._demand.startable(now, most + held)[held:]
        if self._paced or self.tokens.in_force is not None:
            return waiting
        lately = self._charged * MAX_CATCH_UP_SECONDS / max(now - self._asked_at, ROUNDING)
        likely = min(most, int(lately)) - held
        if likely > len(waiting):
            return (0.0,) * max(len(waiting), min(likely, self._demand.spare(now) - held))
        return waiting

    def _ask(self, now: float, wanted: Sequence[float]) -> None:
        starts, tokens = self.most
        ask = Ask(tokens=wanted, correction=self.correction, most_starts=starts, most_tokens=tokens)
        self._asked_at, self._charged, self._sent = now, 0, self.correction
        self._ask_at = now + ANSWER_SECONDS
        self._asking = self._inside = True
        try:
            self._ledger.lease(ask, lambda grant: self._granted(grant, wanted))
        except LedgerError as error:
            self.do_without(str(error))
        finally:
            self._inside = False

    def _granted(self, grant: Grant, wanted: Sequence[float]) -> None:
        now = self._clock()
        self._asking = self._without = False
        if grant.terms is None:
            self._ask_at = now + grant.again
        else:
            self.correction -= self._sent
            self._take(now, grant, wanted)
            self._learn(now, grant.terms)
        if not self._inside:
            self._demand.wake(now)

    def _learn(self, now: float, terms: Terms) -> None:
        self.terms = terms
        self._decide()
        if terms.paused:
            until = now + terms.paused
            while self._slots and self._slots[0] < until - ROUNDING:
                self._void()
        self._heard(terms)

    def _take(self, now: float, grant: Grant, wanted: Sequence[float]) -> None:
        """Adds the slots. The next lease is due when a block is left; later where others hold the whole horizon."""
        # By chance, or runs that ask at the same moments would always come in the same order.
        short = now + grant.again + BLOCK_SECONDS * random.uniform(0.25, 0.75)  # noqa: S311
        if not grant.slots:
            self._ask_at = short if wanted else self._due
            return
        assert grant.terms is not None
        rate = grant.terms.most_starts
        first = now + grant.slots[0]
        self._alone = grant.slots[0] < ROUNDING or rate is None or first < self._last + 1.25 / rate
        self._slots.extend([now + slot for slot in grant.slots])
        if self.tokens.in_force is not None:
            self._amounts.extend(wanted[: len(grant.slots)])
        self._last = self._slots[-1]
        if self._paced:
            super().waited_for(now)
            super().charge(now, len(grant.slots))
        self._few = len(self._slots) // 2
        left = BLOCK_SECONDS / 2 if self._alone else BLOCK_SECONDS
        self._ask_at = self._last - (OWN_RATE_SECONDS if self._paced else left)
        if len(grant.slots) < len(wanted):
            self._ask_at = max(self._ask_at, short)
