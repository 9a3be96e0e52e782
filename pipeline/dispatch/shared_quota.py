"""The quota that the runs of one account share through a ledger: starts, tokens, pauses."""

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
"""The longest time between two exchanges with the ledger, even while the run starts nothing."""
SAME_PAUSE = 0.05
"""Seconds. Two pauses that end within this time are one pause, read from two clocks."""


class SharedQuota:
    """Replaces an account's rates by leased rates, as long as jobs of this process use the account.

    clock: the clock of the account's times.
    """

    def __init__(self, account: Account, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._account = account
        self._ledger = ledger
        self._clock = clock
        self._until = account.cooldown.until
        self._users: list[Limits] = []
        self._lowest: dict[str, float] = {}
        self._most = _per_second(account.limits)
        self._rate = LeasedRate(ledger, account.admission, most=self._most, on_terms=self._on_terms, clock=clock)
        self._rate.per_second = account.rate
        self._put(self._rate, self._rate.tokens)
        account.shared = self
        self._rate.look(clock())

    @classmethod
    def of(cls, account: Account, ledger: Callable[[], Ledger]) -> SharedQuota:
        """Returns the account's shared quota, over a new ledger if the account has none. Raises LedgerError."""
        found = account.shared
        return found if isinstance(found, SharedQuota) else cls(account, ledger())

    def join(self, limits: Limits) -> None:
        """Adds the ceilings of a job of this process that begins."""
        self._users.append(limits)
        self._lower()

    def leave(self, limits: Limits) -> None:
        """Removes the ceilings of a job of this process that has ended. After the last job the account has rates of its
        own again."""
        self._users.remove(limits)
        if self._users:
            self._lower()
        else:
            self._close()

    def settled(self, now: float) -> None:
        """Tells the other runs at once if an attempt has paused the account."""
        if self._account.cooldown.until > self._until + SAME_PAUSE:
            self._tell_pause(now)

    def keep_pause(self) -> None:
        """Keeps the account's pause for this run alone. The pause is this run's guess at an outage. Other runs see an
        outage themselves, and a run that starts after the outage must not wait."""
        self._until = self._account.cooldown.until

    async def keep(self) -> None:
        """Exchanges terms with the ledger as long as the run lasts."""
        while True:
            await anyio.sleep(LOOK_SECONDS)
            self._rate.look(self._clock())
            self.settled(self._clock())

    def notes(self, limits: Limits) -> Iterator[str]:
        """Yields notes for people about the quota of a job with these limits."""
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
            return  # the next exchange tries again
        self._until = until

    def _on_terms(self, terms: Terms) -> None:
        now, account = self._clock(), self._account
        until = now + terms.paused
        if terms.paused and until > self._until + SAME_PAUSE:
            self._until = until
            if until > account.cooldown.until + SAME_PAUSE:
                account.pause_until(now, until)
        for name, most in (("rpm", terms.most_starts), ("tpm", terms.most_tokens)):
            if most is not None:
                self._lowest[name] = min(self._lowest.get(name, math.inf), most * 60)


def without_ledger(reason: str) -> str:
    """Returns the note of a run that shares its quota with no other run."""
    return f"this run does not share its quota with other runs of the account on this machine: {reason}"


def _per_second(limits: Limits) -> Ceilings:
    rpm, tpm = limits.rpm, limits.tpm
    return (rpm / 60 if rpm else None, tpm / 60 if tpm else None)
