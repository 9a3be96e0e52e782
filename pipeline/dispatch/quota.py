"""What the runs of one account tell each other: starts, tokens, pauses, the rate that was found."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator

import anyio

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.leased import Ceilings, LeasedRate
from pipeline.dispatch.ledger import TINY, Ledger, LedgerError, Terms, lower
from pipeline.dispatch.rate import Rate

LOOK_SECONDS = 0.1
"""How often a run states its ceilings and learns what others found, at the least; also while it starts nothing."""
SHARE_SECONDS = 3.0
"""How long starts count for a run's share of them."""
SAME_PAUSE = 0.05
"""Seconds. Pauses whose ends are this close are one pause, read from two clocks."""


class SharedQuota:
    """Puts an account's rates on a ledger and keeps the two in step, for as long as jobs of this process use it.

    clock: the clock of the account's times.
    """

    def __init__(self, account: Account, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self.follows = False
        self._account = account
        self._ledger = ledger
        self._clock = clock
        self._found = account.found
        self._until = account.cooldown.until
        self._own = self._all = 0.0
        self._counted_at = clock()
        self._told = self._started = 0
        self._users: list[Limits] = []
        self._lowest: dict[str, float] = {}
        self._most = _per_second(account.limits)
        self._rate = LeasedRate(ledger, account.admission, most=self._most, heard=self._heard, clock=clock)
        self._rate.per_second = account.rate
        self._put(self._rate, self._rate.tokens)
        account.shared = self
        self._rate.look(clock())

    def join(self, limits: Limits) -> None:
        """A job of this process begins: its ceilings count too."""
        self._users.append(limits)
        self._lower()

    def leave(self, limits: Limits) -> None:
        """A job of this process is over; with the last one the account goes on by itself."""
        self._users.remove(limits)
        if self._users:
            self._lower()
        else:
            self._close()

    def settled(self, now: float) -> None:
        """An attempt taught the account something: a pause or a lower rate is told at once, a higher one with the next
        lease."""
        if self._account.cooldown.until > self._until + SAME_PAUSE:
            self._tell_pause(now)
        before, found = self._found, self._account.found
        if found == before:
            return
        self._found = found
        if found is None or self.follows:
            return
        total = self._rate.found if self._rate.found is not None else self._rate.terms.starts
        if before is None or total is None:
            self._found_first(now, found)
        elif found < before:
            self._cut(total * found / before)
        elif self._rate.found is not None:
            self._rate.found = lower(total * found / before, self._most[0])

    def keep_pause(self) -> None:
        """The account's pause is this run's own guess at an outage. The other runs see the outage themselves, and one
        that is started when it is over must not wait."""
        self._until = self._account.cooldown.until

    async def keep(self) -> None:
        """Looks into the ledger for as long as the run lasts."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            self._rate.look(self._clock())
            self.settled(self._clock())

    def notes(self, limits: Limits) -> Iterator[str]:
        """What a person should know of the quota of a job with these limits."""
        if self._rate.problem is not None:
            yield without_ledger(self._rate.problem)
        for name, lowest in self._lowest.items():
            own: float | None = getattr(limits, name)
            if own is None or lowest < own * (1 - TINY):
                job = "this job sets none" if own is None else f"lower than this job's {own:,.6g}"
                yield (
                    f"another run of this account has limits.{name} = {lowest:,.6g}, {job}: the lower one counted for "
                    "both while both ran"
                )

    def _lower(self) -> None:
        starts, tokens = zip(*map(_per_second, self._users), strict=True)
        self._most = self._rate.most = (functools.reduce(lower, starts), functools.reduce(lower, tokens))

    def _close(self) -> None:
        self._rate.flush()
        self._ledger.close()
        account = self._account
        self._put(Rate(account.rate), Rate(self._most[1]))
        account.shared = None

    def _put(self, requests: Rate, tokens: Rate) -> None:
        account = self._account
        account.requests = account.admission.requests = requests
        account.tokens = account.admission.tokens = tokens

    def _tell_pause(self, now: float) -> None:
        until = self._account.cooldown.until
        try:
            self._ledger.pause(until - now)
        except LedgerError:
            return  # told again at the next look
        self._until = until

    def _found_first(self, now: float, found: float) -> None:
        """What this run alone found is its share of the rate of all: as far as they have told their starts by now."""
        self._rate.tell(now)
        if not self.follows:
            self._cut(found / self._share)

    def _cut(self, total: float) -> None:
        """One cut for the same overload: that of the run which is first."""

        try:
            self._ledger.cut(self._rate.run, self._rate.terms.epoch, total, self._rate.learn)
        except LedgerError as error:
            self._rate.do_without(str(error))

    def _heard(self, terms: Terms) -> None:
        now, account = self._clock(), self._account
        until = now + terms.paused
        if terms.paused and until > self._until + SAME_PAUSE:
            self._until = until
            if until > account.cooldown.until + SAME_PAUSE:
                account.hold(now, until)
        self._count(now, terms)
        self._adopt(terms)
        for name, most in (("rpm", terms.most_starts), ("tpm", terms.most_tokens)):
            if most is not None:
                self._lowest[name] = min(self._lowest.get(name, math.inf), most * 60)

    @property
    def _share(self) -> float:
        """This run's part of the starts of late. A run that has made none is taken for the only one."""
        return self._own / self._all if 0 < self._own < self._all else 1.0

    def _count(self, now: float, terms: Terms) -> None:
        """Sums of this run's starts and of all runs', fading within some seconds."""
        fade = math.exp((self._counted_at - now) / SHARE_SECONDS)
        self._own = self._own * fade + self._rate.told - self._told
        self._all = self._all * fade + max(0, terms.started - self._started)
        self._counted_at, self._told, self._started = now, self._rate.told, terms.started

    def _adopt(self, terms: Terms) -> None:
        """The controller of one run decides for all: what several of them try at once says nothing to any of them. It
        sees the starts of its own run alone, so its rate is this run's share of the rate of all runs."""
        followed, self.follows = self.follows, terms.rate is not None and terms.leader not in (0, self._rate.run)
        self._rate.found = terms.rate
        if terms.rate is None or (self._account.found is not None and followed == self.follows):
            return
        rate = terms.rate * self._share
        self._account.adopt(rate if self._most[0] is None else min(rate, self._most[0]))
        self._found = self._account.found


def without_ledger(reason: str) -> str:
    """The note of a run that shares its quota with nobody."""
    return f"this run does not share its quota with other runs of the account on this machine: {reason}"


def _per_second(limits: Limits) -> Ceilings:
    rpm, tpm = limits.rpm, limits.tpm
    return (rpm / 60 if rpm else None, tpm / 60 if tpm else None)
