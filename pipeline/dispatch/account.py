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
"""Share of a window's requests. A larger grant belongs to the next window; responses that arrive in another order
differ by less."""


class AccountKey(msgspec.Struct, frozen=True, kw_only=True):
    """The unit of a service's quota. account: the name of an account that several keys share. Without it,
    each key is an account."""

    provider: str
    host: str
    key: Secret
    model: str
    account: str | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Ceilings: requests and tokens per minute, attempts in flight. None = found by adaptation."""

    rpm: float | None = None
    tpm: float | None = None
    concurrency: int | None = None


class PauseListener(Protocol):
    """Tells other runs of the account about its pauses."""

    def settled(self, now: float) -> None:
        """An attempt ended, and may have paused the account."""

    def keep_pause(self) -> None:
        """The account's pause concerns this run alone."""


class Account:
    """The state of one (provider, host, key, model), shared by every job of this process that uses it.

    connection_limit: how many attempts this machine's descriptors allow in flight, None = no known bound. shared: the
    quota that other runs use too, if there is one.
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
            self.requests.grant(ticket.at, 0.0)  # the last of what was granted at once
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
        """An attempt has ended: frees the slot, settles the tokens and learns from the result.

        Returns the kind by which the fault was handled: a busy server that answers other requests counts as throttling.

        fault: None for an answer. used: tokens as the service counted them. hints: of the response's headers.
        isolated: the row failed earlier while others were answered, so that its fault says nothing about the service.
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
        """Starts per second of this process, as the controller wants them; None = not limited."""
        return self.controller.rate

    def recall(self, learnt: Learnt) -> None:
        """Begins with the quota that an earlier run found, unless the account is in use already."""
        if not self.admission.admitted:
            self.controller.recall(learnt)
            self.requests.per_second = self.rate

    def pause_until(self, now: float, until: float) -> None:
        """Another run of the account paused until `until`."""
        self.cooldown.until = max(self.cooldown.until, until)
        self.controller.resumed(self.cooldown.until)

    def abandon(self, ticket: Ticket) -> None:
        """An attempt was cut off by a stop or was not sent: frees the slot and learns nothing."""
        self.controller.lost(ticket.at)
        self.admission.release(ticket)

    def limit(self, now: float) -> int:
        """The concurrency in force."""
        found = self.controller.limit(now)
        return min(found, self.connection_limit or found, self.slots.most or found)

    def _limit(self, now: float) -> int:
        """After two pauses with no answer between them, one request at a time is sent."""
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
        """If the service asks for a wait while it answers others, only the row waits, not the account."""
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
        """The requests that a gateway's window still allows may be sent at once.

        Each response names the last attempt that fits. The lowest number counts, because responses arrive in another
        order, until a response names a much higher number: a new window has begun.
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
        """A published limit becomes a ceiling. Its window is the shortest usual one that all resets so far fit into."""
        if not hints.limit or self.limits.rpm or (hints.remaining or 0) > hints.limit:
            return  # more requests are left than the limit: such a limit is wrong
        if hints.reset is None:
            self._window = max(self._window, USUAL_WINDOW)
        else:
            self._window = max(self._window, next((w for w in (1.0, 60.0, 3600.0) if hints.reset <= w), 86400.0))
        self.controller.ceiling = hints.limit / self._window


def wait_asked(fault: Fault, hints: Hints) -> float | None:
    """Returns the seconds for which the service asked to wait: by the fault, or by the headers."""
    return hints.wait if fault.retry_after is None else fault.retry_after


class Accounts:
    """The accounts of a process. An account exists as long as a job uses it."""

    def __init__(self) -> None:
        self._accounts: WeakValueDictionary[AccountKey, Account] = WeakValueDictionary()

    def get(self, key: AccountKey, limits: Limits) -> Account:
        """Returns the account of `key`. Only the `limits` of the first call count."""
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = Account(limits)
        return account
