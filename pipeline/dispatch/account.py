"""The state that all attempts of an account share: admission, adaptation, cool-down, retry budget."""

from __future__ import annotations

import random
from typing import Protocol
from weakref import WeakValueDictionary

import anyio
import msgspec

from pipeline.dispatch.control import RateController
from pipeline.dispatch.cooldown import Cooldown
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.limiter import Admission, Ticket
from pipeline.dispatch.rate import Rate
from pipeline.dispatch.refusals import Refusals, Slots, may_be_load
from pipeline.dispatch.retry import RetryBudget
from pipeline.errors import Fault, FaultKind
from pipeline.machine import SHORT
from pipeline.providers.hints import NOTHING, Hints
from pipeline.types import Secret

USUAL_WINDOW = 60.0
NEXT_WINDOW = 0.75
"""Share of a window's requests. Each response names the last request that its window allows. If two responses differ by
more than this share, they are about different windows. Responses of one window that arrive in another order differ by
less."""


class AccountKey(msgspec.Struct, frozen=True, kw_only=True):
    """The unit of a service's quota. account: the name of an account that several keys share. Without a name, each key
    is an account."""

    provider: str
    host: str
    key: Secret
    model: str
    account: str | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Ceilings: requests and tokens per minute, attempts in flight. None: rpm and concurrency are found by adaptation,
    tokens have no ceiling."""

    rpm: float | None = None
    tpm: float | None = None
    concurrency: int | None = None


class PauseListener(Protocol):
    """An object that tells other runs of the account about the account's pauses."""

    def settled(self, now: float) -> None:
        """Handles the end of an attempt, which may have paused the account."""

    def keep_pause(self) -> None:
        """Keeps the account's pause for this run alone."""


class Account:
    """The state of one (provider, host, key, model), shared by every job of this process that uses the account.

    connection_limit: how many attempts this machine's descriptors allow in flight, None = no known bound. shared: tells
    the other runs about pauses, None if no other run shares the quota.
    """

    def __init__(self, limits: Limits | None = None, *, rng: random.Random | None = None, burst: float = 1.0) -> None:
        self.limits = limits = limits or Limits()
        self.rng = rng or random.Random()  # noqa: S311 - jitter, not secrets
        self.throttled = 0
        self.cooldown = Cooldown(self.rng)
        self.refusals = Refusals()
        self.retries = RetryBudget()
        self.controller = RateController(limits.rpm / 60 if limits.rpm else None, limits.concurrency)
        self.requests = Rate(self.controller.rate, burst)
        self.tokens = Rate(limits.tpm / 60 if limits.tpm else None, burst=1.0)
        self.connection_limit: int | None = None
        self.slots = Slots()
        self._granted = float("-inf")
        self.shared: PauseListener | None = None
        self._window = 0.0
        self.admission = Admission(
            self.requests, self.tokens, limit=self._limit, pause=self.cooldown.wait, ramp=self.controller.ramp
        )

    async def admit(self, tokens: int | None) -> Ticket:
        """Waits for a slot, the rate and the tokens. Raises Fault (`Local.TooManyTokens`)."""
        ticket = await self.admission.acquire(tokens)
        self.controller.began(ticket.at)
        if self.requests.burst > 1.0 and ticket.number >= self._granted > 0:
            self.requests.grant(ticket.at, 0.0)  # the ticket is the last request that was granted
        return ticket

    def settle(
        self,
        ticket: Ticket,
        fault: Fault | None,
        *,
        used: int | None = None,
        hints: Hints = NOTHING,
        now: float | None = None,
        isolated: bool = False,
    ) -> FaultKind | None:
        """Ends an attempt: frees the slot, settles the tokens and learns from the result.

        Returns the kind as which the fault was handled, None for an answer. If a server is busy but answers other
        requests, the fault counts as throttling.

        fault: None for an answer. used: tokens as the service counted them. hints: what the response's headers say.
        isolated: the row failed earlier while other rows were answered, so the fault says nothing about the service.
        """
        now = anyio.current_time() if now is None else now
        kind = self._taken_as(now, ticket, fault)
        if fault is None or kind not in ("throttled", "transient"):
            self._answered(now, ticket)
        elif kind == "throttled" and hints.parallel:
            self.throttled += 1
            self.controller.lost(ticket.at)
            self.slots.refused(now, ticket.at, self.admission.in_flight)
        elif kind == "throttled":
            self._throttled(now, ticket, wait_asked(fault, hints), busy=fault.kind != "throttled")
        else:
            self._transient(now, ticket, fault, wait_asked(fault, hints), isolated=isolated)
        if hints is not NOTHING:
            self._heed(now, ticket, hints, answered=fault is None)
        self.requests.per_second = self.rate
        if self.shared is not None:
            self.shared.settled(now)
        self.admission.release(ticket, used, now=now)
        return kind

    @property
    def rate(self) -> float | None:
        """Returns the starts per second that the controller allows this process; None = no limit."""
        return self.controller.rate

    def recall(self, learnt: Learnt) -> None:
        """Begins with the quota that an earlier run found, unless the account is in use already."""
        if not self.admission.admitted:
            self.controller.recall(learnt)
            self.requests.per_second = self.rate

    def pause_until(self, now: float, until: float) -> None:
        """Pauses until `until`, because another run of the account paused."""
        self.cooldown.until = max(self.cooldown.until, until)
        self.controller.resumed(self.cooldown.until)

    def abandon(self, ticket: Ticket) -> None:
        """Frees the slot of an attempt that a stop cut off, that met a stale connection or that was not sent. Learns
        nothing."""
        self.controller.lost(ticket.at)
        self.admission.release(ticket)

    def limit(self, now: float) -> int:
        """Returns the concurrency in force."""
        found = self.controller.limit(now)
        return min(found, self.connection_limit or found, self.slots.most or found)

    def _limit(self, now: float) -> int:
        """Returns the concurrency in force; 1 after two pauses with no answer between them."""
        return 1 if self.cooldown.streak > 1 else self.limit(now)

    def _taken_as(self, now: float, ticket: Ticket, fault: Fault | None) -> FaultKind | None:
        if fault is not None and may_be_load(fault) and self.refusals.answering(now, ticket.at):
            return "throttled"
        return fault.kind if fault is not None else None

    def _answered(self, now: float, ticket: Ticket) -> None:
        self.controller.answered(
            now,
            ticket.at,
            slot_bound=self.admission.slot_bound,
            rate_bound=self.admission.rate_bound,
        )
        self.refusals.answered(now, ticket)
        self.slots.answered(now, bound=self.admission.slot_bound)
        self.cooldown.on_success(now, ticket.at)

    def _throttled(self, now: float, ticket: Ticket, asked: float | None, *, busy: bool) -> None:
        """Learns from a throttled attempt. If the service asks for a wait while it answers other requests, only the row
        waits, and the account does not pause."""
        self.throttled += 1
        down = self.controller.throttled(now, ticket.at, busy=busy)
        isolated = self._isolated(now, ticket)
        if self._granted > self.admission.admitted:
            self._granted = self.admission.admitted
            self.requests.grant(now, 0.0)
        if down and asked is None:
            self.cooldown.back_off(now)
            self.controller.resumed(self.cooldown.until)
        elif asked is not None and not isolated and self.cooldown.pause(now, asked, ticket.at):
            self.controller.resumed(self.cooldown.until)

    def _transient(self, now: float, ticket: Ticket, fault: Fault, asked: float | None, *, isolated: bool) -> None:
        self.controller.lost(ticket.at)
        if fault.code == SHORT:
            self.connection_limit = max(
                1, min(self.connection_limit or self.admission.in_flight, self.admission.in_flight * 3 // 4)
            )
        paused = not (isolated and not self.cooldown.streak) and self.cooldown.failed(now, ticket.at)
        if asked is not None and not self._isolated(now, ticket):
            paused = self.cooldown.pause(now, asked, ticket.at) or paused
        elif paused and self.shared is not None:
            self.shared.keep_pause()
        if paused:
            self.controller.resumed(self.cooldown.until)

    def _isolated(self, now: float, ticket: Ticket) -> bool:
        return self.refusals.isolated(now, ticket, others=self.admission.in_flight > 1)

    def _heed(self, now: float, ticket: Ticket, hints: Hints, *, answered: bool) -> None:
        self._learn(hints)
        self._grant(now, ticket, hints)
        used_up = hints.used_up if answered else None
        if used_up is not None and self.cooldown.pause_until_reset(now, used_up, ticket.at):
            self.controller.resumed(self.cooldown.until)

    def _grant(self, now: float, ticket: Ticket, hints: Hints) -> None:
        """Lets the requests that are left in a gateway's window start at once.

        Each response names the last request that fits into the window. Responses arrive in another order than the
        requests, so the lowest number counts. A much higher number shows that a new window has begun.
        """
        if hints.slots:
            self.slots.named(hints.slots)
        if not hints.scoped or hints.remaining is None or self.limits.rpm:
            return
        last = ticket.number + hints.remaining
        much = NEXT_WINDOW * (hints.limit or hints.remaining)
        if last < self._granted - much:
            return
        self._granted = last if last > self._granted + much else min(last, self._granted)
        self.requests.grant(now, self._granted - self.admission.admitted)

    def _learn(self, hints: Hints) -> None:
        """Makes a published limit the ceiling. The limit's window is the shortest usual window that no reset so far
        exceeds."""
        if not hints.limit or self.limits.rpm or (hints.remaining or 0) > hints.limit:
            return  # a limit below the number of requests that are left is wrong
        if hints.reset is None:
            self._window = max(self._window, USUAL_WINDOW)
        else:
            self._window = max(self._window, next((w for w in (1.0, 60.0, 3600.0) if hints.reset <= w), 86400.0))
        self.controller.ceiling = hints.limit / self._window


def wait_asked(fault: Fault, hints: Hints) -> float | None:
    """Returns the seconds for which the service asked to wait, from the fault, else from the headers."""
    return hints.wait if fault.retry_after is None else fault.retry_after


class Accounts:
    """The accounts of a process. An account exists as long as a job uses the account."""

    def __init__(self) -> None:
        self._accounts: WeakValueDictionary[AccountKey, Account] = WeakValueDictionary()

    def get(self, key: AccountKey, limits: Limits) -> Account:
        """Returns the account of `key`. Only the `limits` of the first call count."""
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(limits)
        return account
