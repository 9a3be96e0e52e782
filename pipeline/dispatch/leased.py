"""The rate of starts that several runs lease from one ledger. If runs share a quota, this rate replaces `Rate`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from pipeline.dispatch.held_starts import HeldStarts, LeasedTokens
from pipeline.dispatch.ledger import Ask, Grant, Ledger, LedgerError, Terms, lower
from pipeline.dispatch.rate import MAX_CATCH_UP_SECONDS, ROUNDING, Rate

BLOCK_SECONDS = 0.1
"""Length of one lease. The next lease is taken when this time is left (half of this time in a run that is alone). So a
run whose loop is busy for a while still has starts, and no other run waits longer than this time for its starts."""
ALONE_SECONDS = 0.25
"""Length of one lease of a run that is alone. Longer leases are fewer leases. The length is within the horizon, so that
a second run begins at once."""
OWN_RATE_SECONDS = 0.2
"""A run whose own rate is below the ceiling takes its next lease when this time is left, because other runs hold longer
leases."""
MOST_STARTS = 512
ANSWER_SECONDS = 1.0
"""If a ledger has not answered for this time, the run ignores the ledger. The run asks the ledger again after the same
time."""
Ceilings = tuple[float | None, float | None]
"""The ceilings of one run: requests and tokens per second; None = no ceiling."""
NO_TERMS = Terms(most_starts=None, most_tokens=None, paused=0.0)


class Demand(Protocol):
    """The queue of attempts that wait for a start."""

    def startable(self, now: float, most: int) -> Sequence[float]:
        """Returns the tokens of the first attempts in the queue: of at most `most` attempts, and of at most as many
        attempts as there are free slots."""

    def spare(self, now: float) -> int:
        """Returns how many concurrency slots are free now."""

    def wake(self, now: float) -> None:
        """Admits attempts as far as the limits allow now."""


class LeasedRate(Rate):
    """Requests per second that all runs of an account share. `tokens` is the rate of their tokens.

    `per_second` is the rate in force: the lower of this run's own rate (the rate that was set) and the ceiling of all
    runs. While no run states a ceiling, nothing is leased, and the run's own rate counts. A start is made at its slot
    or up to 20 ms later. After that the slot is void. A run whose own rate is below the ceiling takes its leases at its
    own rate: its starts keep the law of `Rate` for windows that are longer by the ledger's horizon. If the ledger fails
    or does not answer, this object works as a plain `Rate`, and `problem` says why.

    most: this run's own ceilings, requests and tokens per second. on_terms: called with the terms of each answer.
    clock: the clock of the `now` that the methods take.
    """

    def __init__(
        self,
        ledger: Ledger,
        demand: Demand,
        *,
        most: Ceilings,
        on_terms: Callable[[Terms], None],
        clock: Callable[[], float],
    ) -> None:
        self._ledger, self._demand, self._on_terms, self._clock = ledger, demand, on_terms, clock
        self.most = most
        self._held = HeldStarts()
        self._slots = self._held.times
        self._ask_at = self._due = self._asked_at = self._last = float("-inf")
        self._asking = self._inside = self._without = False
        self._alone = True
        self._few = 0
        self._charged = 0
        self._own: float | None = None
        self._sent = 0.0
        self.problem: str | None = None
        self.terms = NO_TERMS
        self._paced = False
        self.tokens = LeasedTokens(self._held, most[1])
        super().__init__(most[0])

    @property
    def per_second(self) -> float | None:
        """Returns the rate in force. Setting `per_second` sets the run's own rate."""
        return self._in_force

    @per_second.setter
    def per_second(self, rate: float | None) -> None:
        if rate != self._own:
            self._own = rate
            self._decide()

    def wait(self, now: float) -> float:
        """See `Rate`. Takes a lease when a lease is due."""
        if self._held.plain:
            return super().wait(now)
        slots = self._slots
        if slots and slots[0] < now - MAX_CATCH_UP_SECONDS:
            self._held.void_before(now - MAX_CATCH_UP_SECONDS)
        if now >= self._ask_at and (not slots or slots[0] > now) and self._may_ask(now):
            self._lease(now)
            if self._held.plain:
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
        """See `Rate`. Uses the next slot."""
        self._charged += 1
        if self._held.plain:
            super().charge(now, amount)
        if self._slots:
            self._held.use()

    def waited_for(self, now: float) -> None:
        """See `Rate`. A slot has its own time: a slot that is used late does not delay the others."""
        if self._held.plain:
            super().waited_for(now)

    def look(self, now: float) -> None:
        """States this run's ceilings and reads the terms, unless a lease did the same just before."""
        if now < self._asked_at + (ANSWER_SECONDS if self._without or self._asking else BLOCK_SECONDS):
            return
        if self._asking:
            self.do_without("the ledger does not answer")
        else:
            self._due = self._ask_at
            self._ask(now, ())

    def flush(self) -> None:
        """Reports to the ledger, at the end of the run, how many tokens the last starts used."""
        self._held.void_before(float("inf"))
        if self._held.correction and not self._without:
            self._ask(self._clock(), ())

    def do_without(self, reason: str) -> None:
        """Continues without the ledger, which fails. This run's own limits count until the ledger answers again."""
        self.problem = self.problem or reason
        self._without, self._asking = True, False
        self._held.clear()
        self.terms = NO_TERMS
        self._decide()

    def _decide(self) -> None:
        own, shared = self._own, self.terms.most_starts
        self._in_force = lower(own, shared)
        self.tokens.per_second = lower(self.most[1], self.terms.most_tokens)
        self._held.plain = shared is None and self.terms.most_tokens is None
        self._paced = own is not None and (shared is None or own < shared * (1 - ROUNDING))

    def _may_ask(self, now: float) -> bool:
        """Tells whether the run may take a lease now. A run whose own rate is below the ceiling asks at its own rate,
        so that its slots do not come too early to be used."""
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
        """Returns the tokens of the starts that can be made within the length of one lease and are not leased yet.

        If the rate does not hold starts back, few attempts wait in the queue. Then the number of starts is the number
        that the run makes in 20 ms, the time for which a slot is valid.
        """
        held, rate = len(self._slots), self._in_force
        seconds = ALONE_SECONDS if self._alone else BLOCK_SECONDS
        if self._paced:
            seconds = MAX_CATCH_UP_SECONDS
        most = MOST_STARTS if rate is None else max(1, min(MOST_STARTS, int(rate * seconds)))
        waiting = self._demand.startable(now, most + held)[held:]
        if self._paced or self.tokens.per_second is not None:
            return waiting
        lately = self._charged * MAX_CATCH_UP_SECONDS / max(now - self._asked_at, ROUNDING)
        likely = min(most, int(lately)) - held
        if likely > len(waiting):
            return (0.0,) * max(len(waiting), min(likely, self._demand.spare(now) - held))
        return waiting

    def _ask(self, now: float, wanted: Sequence[float]) -> None:
        starts, tokens = self.most
        ask = Ask(tokens=wanted, correction=self._held.correction, most_starts=starts, most_tokens=tokens)
        self._asked_at, self._charged, self._sent = now, 0, self._held.correction
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
            self._held.correction -= self._sent
            self._take(now, grant, wanted)
            self._learn(now, grant.terms)
        if not self._inside:
            self._demand.wake(now)

    def _learn(self, now: float, terms: Terms) -> None:
        self.terms = terms
        self._decide()
        if terms.paused:
            self._held.void_before(now + terms.paused - ROUNDING)
        self._on_terms(terms)

    def _take(self, now: float, grant: Grant, wanted: Sequence[float]) -> None:
        """Adds the granted slots. The next lease is due when a block is left, or later if other runs hold the whole
        horizon."""
        # The time is random. Otherwise runs that ask at the same moments would always be served in the same order.
        short = now + grant.again + BLOCK_SECONDS * random.uniform(0.25, 0.75)  # noqa: S311
        if not grant.slots:
            self._ask_at = short if wanted else self._due
            return
        assert grant.terms is not None
        rate = grant.terms.most_starts
        first = now + grant.slots[0]
        self._alone = grant.slots[0] < ROUNDING or rate is None or first < self._last + 1.25 / rate
        self._slots.extend([now + slot for slot in grant.slots])
        if self.tokens.per_second is not None:
            self._held.amounts.extend(wanted[: len(grant.slots)])
        self._last = self._slots[-1]
        if self._paced:
            super().waited_for(now)
            super().charge(now, len(grant.slots))
        self._few = len(self._slots) // 2
        left = BLOCK_SECONDS / 2 if self._alone else BLOCK_SECONDS
        self._ask_at = self._last - (OWN_RATE_SECONDS if self._paced else left)
        if len(grant.slots) < len(wanted):
            self._ask_at = max(self._ask_at, short)
