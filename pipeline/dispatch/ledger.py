"""One quota for all runs of an account: the requests of a run to the ledger, and the ledger's grants.

The ledger is one record for each account. Its first number is the time of the next free start. A run takes leases: a
lease is a few start times, and moves that number on. Nobody needs a list of the runs: a run that is killed costs its
leased starts, which lie at most `HORIZON` in the future.

All times between a run and the ledger are seconds from now, because the two may have different clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from pipeline.dispatch.rate import MAX_CATCH_UP_SECONDS

HORIZON = 0.3
"""Seconds. All runs together hold no start that is further in the future: a killed run costs no more than that."""
STATED_SECONDS = 5.0
"""How long a ceiling counts after a run last stated it. Runs state theirs several times a second."""
TINY = 1e-9
"""Times closer than this differ by the rounding of sums alone."""


class LedgerError(Exception):
    """The ledger cannot be used; the message says why, for a person."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The request of a run to the ledger.

    tokens: one number for each start that is wanted, in order; empty: the run only states and looks. correction: tokens
    that earlier starts came to beyond what was leased for them. most_starts, most_tokens: the run's own ceilings per
    second, None without one.
    """

    tokens: Sequence[float] = ()
    correction: float = 0.0
    most_starts: float | None = None
    most_tokens: float | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The limits in force for all runs of the account.

    most_starts, most_tokens: the lowest ceilings of all runs, per second; None where no run states one. paused: seconds
    for which nothing may start.
    """

    most_starts: float | None
    most_tokens: float | None
    paused: float


class Grant(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An answer to `Ask`. slots: seconds from now at which one start each may be made, ascending; fewer than were
    wanted, or none, when the next free one lies beyond the horizon. again: seconds after which there is one more.
    terms: None = not known now, as before."""

    slots: Sequence[float]
    again: float
    terms: Terms | None


class Ledger(Protocol):
    """The interface between a run and the store of its account's record.

    `done` is called once, from the event loop's thread: before the method returns where the store is this machine's,
    later where the answer comes over a network. A run does not wait for a store that does not answer: the ledger
    raises LedgerError or never calls `done`, and the run continues at its own rate.
    """

    def lease(self, ask: Ask, done: Callable[[Grant], None]) -> None:
        """Leases starts, states the run's ceilings, and returns the terms through `done`. Raises LedgerError."""

    def pause(self, seconds: float) -> None:
        """No run starts anything for `seconds`. A pause shorter than the current one has no effect. Raises
        LedgerError."""

    def close(self) -> None:
        """The run has ended. May be called more than once."""


NEVER = float("-inf")


class Record(msgspec.Struct, gc=False):
    """The state behind a ledger and its arithmetic, without a store. `now` is one clock of all runs, in seconds.

    The law: let a run make a start at its slot or up to L seconds later. Then in any window of W seconds all runs
    together make at most rate · (W + L) + 1 starts, where rate is the highest ceiling in force in the window. `tokens`
    keep the law of `Rate` with amounts as leased.

    Every other state (a store that lost the record) begins with `after_loss`: it never grants a time twice.
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
        """Returns a record in place of a lost one. It grants only after all starts of the lost record are past."""
        return cls(next=now + HORIZON)

    def lease(self, now: float, ask: Ask) -> Grant:
        """Grants as many of the starts as lie within the horizon."""
        self._state(now, ask)
        terms = self.terms(now)
        if ask.correction and terms.most_tokens is not None:
            self._correct(now, ask.correction / terms.most_tokens)
        slots, again = self._slots(now, ask.tokens, terms)
        return Grant(slots=slots, again=again, terms=terms)

    def pause(self, now: float, seconds: float) -> Terms:
        """Starts nothing before `now` + `seconds`."""
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
        """The lowest ceiling counts as long as a run states it."""
        if ask.most_starts is not None and (now >= self.most_starts_until or ask.most_starts <= self.most_starts):
            self.most_starts, self.most_starts_until = ask.most_starts, now + STATED_SECONDS
        if ask.most_tokens is not None and (now >= self.most_tokens_until or ask.most_tokens <= self.most_tokens):
            self.most_tokens, self.most_tokens_until = ask.most_tokens, now + STATED_SECONDS

    def _correct(self, now: float, seconds: float) -> None:
        """Moves the time of the next free tokens; a refund never moves it before `now`."""
        floor = min(self.tokens, now) if seconds < 0 else now
        self.tokens = max(floor, max(self.tokens, floor) + seconds)

    def _slots(self, now: float, wanted: Sequence[float], terms: Terms) -> tuple[list[float], float]:
        """Returns start times under both limits, and the seconds until there is one more."""
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
        """The same if only starts are limited, without a loop: this is the usual case, and costs CPU for each row."""
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
    """Seconds from one start to the next under a ceiling. A start may be late, so that the requests could arrive too
    close together: the starts of each second (or each start, if they are rarer) are spread by the allowed lateness."""
    return 1.0 / most_starts + MAX_CATCH_UP_SECONDS / max(1.0, most_starts)


def lower(one: float | None, other: float | None) -> float | None:
    """The lower of two rates per second; None is no limit."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
