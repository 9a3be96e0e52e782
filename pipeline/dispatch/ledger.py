"""One quota for all runs of an account: what a run asks of the ledger, and what the ledger grants.

The ledger is one record for each account. The record's first number is the time of the next free start. A run takes
leases. A lease is a few start times, and moves the first number on. A list of the runs is not needed: a run that is
killed costs only its leased starts, which lie at most `HORIZON` in the future.

All times between a run and the ledger are seconds from now, because the two may have different clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from pipeline.dispatch.rate import MAX_CATCH_UP_SECONDS

HORIZON = 0.3
"""Seconds. No run holds a start that is further in the future, so a killed run costs no more than this time."""
STATED_SECONDS = 5.0
"""How long a ceiling counts after a run last stated the ceiling. Runs state their ceilings several times a second."""
TINY = 1e-9
"""Times that differ by less differ only by the rounding of sums."""


class LedgerError(Exception):
    """The ledger cannot be used; the message says why, for a person."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a run asks of the ledger.

    tokens: one number for each start that is wanted, in order; if empty, the run only states its ceilings and reads the
    terms. correction: tokens that earlier starts used beyond their lease; negative if they used fewer. most_starts,
    most_tokens: the run's own ceilings per second, None = no ceiling.
    """

    tokens: Sequence[float] = ()
    correction: float = 0.0
    most_starts: float | None = None
    most_tokens: float | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The limits in force for all runs of the account.

    most_starts, most_tokens: the lowest ceilings of all runs, per second; None if no run states a ceiling. paused:
    seconds for which no run may start anything.
    """

    most_starts: float | None
    most_tokens: float | None
    paused: float


class Grant(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The ledger's answer to `Ask`. slots: seconds from now, ascending. One start may be made at each slot. There are
    fewer slots than were wanted, or no slots, if the next free start lies beyond the horizon. again: seconds after
    which one more slot is free. terms: None = the terms are not known now, and the earlier terms stay in force."""

    slots: Sequence[float]
    again: float
    terms: Terms | None


class Ledger(Protocol):
    """The interface between a run and the store of its account's record.

    `done` is called once, from the event loop's thread. If the store is on this machine, `done` is called before the
    method returns. If the answer comes over a network, `done` is called later. A run does not wait for a store that
    does not answer: the ledger raises LedgerError or never calls `done`, and the run continues at its own rate.
    """

    def lease(self, ask: Ask, done: Callable[[Grant], None]) -> None:
        """Leases starts, states the run's ceilings, and returns the terms through `done`. Raises LedgerError."""

    def pause(self, seconds: float) -> None:
        """Lets no run start anything for `seconds`. A pause shorter than the current pause has no effect. Raises
        LedgerError."""

    def close(self) -> None:
        """Closes the ledger when the run has ended. May be called more than once."""


NEVER = float("-inf")


class Record(msgspec.Struct, gc=False):
    """The state of a ledger, and the arithmetic of that state, without a store. `now` is one clock of all runs, in
    seconds.

    The law: let a run make a start at its slot or up to L seconds later. Then in any window of W seconds all runs
    together make at most rate · (W + L) + 1 starts, where rate is the highest ceiling in force in the window. `tokens`
    keep the law of `Rate` for the leased amounts.

    A store that lost its record begins with `after_loss`. So no time is granted twice.
    """

    next: float = NEVER
    tokens: float = NEVER
    paused: float = NEVER
    most_starts: float = 0.0
    most_starts_until: float = NEVER
    most_tokens: float = 0.0
    most_tokens_until: float = NEVER

    @classmethod
    def after_loss(cls, now: float) -> Record:
        """Returns a record in place of a lost record. The new record grants only after all starts of the lost record
        are past."""
        return cls(next=now + HORIZON)

    def lease(self, now: float, ask: Ask) -> Grant:
        """Grants the wanted starts that lie within the horizon."""
        self._state(now, ask)
        terms = self.terms(now)
        if ask.correction and terms.most_tokens is not None:
            self._correct(now, ask.correction / terms.most_tokens)
        slots, again = self._slots(now, ask.tokens, terms)
        return Grant(slots=slots, again=again, terms=terms)

    def pause(self, now: float, seconds: float) -> Terms:
        """Lets no run start anything before `now` + `seconds`. Returns the terms in force."""
        self.paused = max(self.paused, now + seconds)
        return self.terms(now)

    def terms(self, now: float) -> Terms:
        """Returns the terms in force at `now`."""
        return Terms(
            most_starts=self.most_starts if now < self.most_starts_until else None,
            most_tokens=self.most_tokens if now < self.most_tokens_until else None,
            paused=max(0.0, self.paused - now),
        )

    def _state(self, now: float, ask: Ask) -> None:
        """Records the run's ceilings. The lowest ceiling counts as long as a run states it."""
        if ask.most_starts is not None and (now >= self.most_starts_until or ask.most_starts <= self.most_starts):
            self.most_starts, self.most_starts_until = ask.most_starts, now + STATED_SECONDS
        if ask.most_tokens is not None and (now >= self.most_tokens_until or ask.most_tokens <= self.most_tokens):
            self.most_tokens, self.most_tokens_until = ask.most_tokens, now + STATED_SECONDS

    def _correct(self, now: float, seconds: float) -> None:
        """Moves the time of the next free tokens by `seconds`. A refund never moves this time before `now`."""
        floor = min(self.tokens, now) if seconds < 0 else now
        self.tokens = max(floor, max(self.tokens, floor) + seconds)

    def _slots(self, now: float, wanted: Sequence[float], terms: Terms) -> tuple[list[float], float]:
        """Returns start times under both limits, and the seconds until one more start is free."""
        rate, per_second = terms.most_starts, terms.most_tokens
        step = 0.0 if rate is None else step_of(rate)
        begin = now + terms.paused
        at = self._free(begin, rate, per_second)
        if per_second is None and rate is not None:
            return self._even_slots(now, at, step, len(wanted))
        slots: list[float] = []
        for amount in wanted:
            if at > now + HORIZON + TINY:
                break
            slots.append(at - now)
            if rate is not None:
                self.next = at + step
            if per_second is not None:
                self.tokens = at + amount / per_second
            at = self._free(begin, rate, per_second)
        return slots, max(0.0, at - now - HORIZON)

    def _even_slots(self, now: float, at: float, step: float, count: int) -> tuple[list[float], float]:
        """Returns the same as `_slots` if only starts are limited. Uses no loop, because this case is the usual case
        and costs CPU for each row."""
        first, room = at - now, HORIZON + TINY
        count = min(count, int((room - first) / step) + 1) if first <= room else 0
        if count:
            self.next = at = at + count * step
        return [first + n * step for n in range(count)], max(0.0, at - now - HORIZON)

    def _free(self, at: float, rate: float | None, per_second: float | None) -> float:
        if rate is not None and self.next > at:
            at = self.next
        if per_second is not None and self.tokens > at:
            at = self.tokens
        return at


def step_of(most_starts: float) -> float:
    """Returns the seconds from one start to the next under a ceiling. A start may be late, so requests could arrive too
    close together. Therefore the starts of each second (or each start, if starts are rarer) are spread by the allowed
    lateness."""
    return 1.0 / most_starts + MAX_CATCH_UP_SECONDS / max(1.0, most_starts)


def lower(one: float | None, other: float | None) -> float | None:
    """Returns the lower of two rates per second; None = no limit."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
