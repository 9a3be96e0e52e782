"""One row's call: its attempts from the first admission to the reply or the fault that ends it."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from pipeline.dispatch.account import Account, wait_asked
from pipeline.dispatch.attempt import AttemptResult, send_once
from pipeline.dispatch.budget import Budget
from pipeline.dispatch.clock import now, timed
from pipeline.dispatch.counters import Counters
from pipeline.dispatch.limiter import Ticket
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.dispatch.retry import Again, GiveUp, Past, decide, retrying
from pipeline.dispatch.stop import Silence, Stop
from pipeline.dispatch.transport import STALE, Transport, total_timeout
from pipeline.errors import Fault, refusal
from pipeline.types import Attempt, Reply, Usage

T = TypeVar("T")

INTERRUPTED = "Local.Interrupted"

LONGEST_PAUSE = 3600.0
"""Seconds. A service that asks for more is not waited for: a person had better know."""
MOST_SAID = 10 * 365 * 86_400.0


class PoolContext(Generic[T]):
    """What all calls of a pool share. `ending`: no row is left to begin, so that a retry waits for nobody's sake."""

    def __init__(
        self,
        *,
        transport: Transport,
        account: Account,
        policy: Policy,
        budget: Budget,
        stop: Stop,
        on_attempt: Callable[[T, Attempt], None],
        on_turn: Callable[[T, Reply, Attempt], None],
        wall: Callable[[], float],
    ) -> None:
        self.transport = transport
        self.account = account
        self.policy = policy
        self.budget = budget
        self.stop = stop
        self.on_attempt = on_attempt
        self.on_turn = on_turn
        self.wall = wall
        self.counters = Counters()
        self.silence = Silence(policy.silence)
        self.in_flight: set[anyio.CancelScope] = set()
        self.slept = 0.0
        self.look: Callable[[], None] = lambda: None
        self.admitted: Callable[[float], None] = lambda now: None
        self.halted = False
        self.ending = False

    def sleep(self, seconds: float) -> None:
        """The process slept for so long: no time on the wire passed for what is in flight."""
        self.slept += seconds
        self.silence.slept(seconds)
        for scope in self.in_flight:
            scope.deadline += seconds

    def set_deadline(self, deadline: float) -> None:
        """What is in flight must be down by `deadline`."""
        for scope in self.in_flight:
            scope.deadline = min(scope.deadline, deadline)


class Call(Generic[T]):
    """The state of one row between preparation and ending. It holds a slot only while an attempt is on the wire.

    A conversation is one row with several questions: `attempts` are of all of them, `advance` goes on to the next one.
    `isolated`: it failed while others were answered, so that its faults are its own.
    """

    def __init__(self, item: T, prepared: PreparedRequest, context: PoolContext[T]) -> None:
        self.item = item
        self.prepared = prepared
        self.attempts: list[Attempt] = []
        self._context = context
        self._before = 0
        self._deadline: float | None = None
        self._ended_at = 0.0
        self.put_off = False
        self._once = 0
        self._asked: float | None = None
        self._throttled = False
        self._granted = False
        self.isolated = False
        self._decision: Again | GiveUp | None = None

    async def attempt(self) -> Reply:
        """One trip, and a second one at once where the connection of the first had gone stale: that is no fault of the
        row's, and takes none of its `retry.attempts`. Raises Fault, Spent."""
        try:
            return await self._attempt_once()
        except Fault as fault:
            if fault.code != STALE:
                raise
        self._before += 1
        return await self._attempt_once()

    async def _attempt_once(self) -> Reply:
        """Reserve, be admitted, send, settle, record. Raises Fault, Spent."""
        worst = self._worst()
        budget = self._context.budget
        await budget.reserve(worst)
        cost: float | None = 0.0
        try:
            ticket = await self._context.account.admit(self.prepared.tokens)
            if self._context.halted:
                await self._turned_back(ticket)
            cost = None
            started = self._context.wall()
            result = await self._send(ticket, started)
            known, currency = self._price(result.usage)
            cost = 0.0 if result.free else known
        finally:
            budget.settle(worst, cost)
        self._record(ticket, started, result, known, currency)
        if result.fault is not None:
            raise result.fault
        assert result.reply is not None
        return result.reply

    async def again(self, fault: Fault) -> Reply:
        """The attempts after a first one that ended in `fault`, with the waits between them.

        Raises the Fault that ends the call: the last one of the service where the deadline comes first.
        """
        last = pending = fault

        async def next_attempt() -> Reply:
            nonlocal last, pending
            if pending is not None:
                raised, pending = pending, None  # type: ignore[assignment]
                raise raised
            await self._allowed(last)
            try:
                return await self.attempt()
            except Fault as error:
                last = error
                raise
            finally:
                self._use_grant(None)

        with timed(self._due):
            return await retrying(next_attempt, wanted=self._wants_more, pause=self._pause)
        raise last

    async def begin(self) -> Reply:
        """One attempt for each question of the row, the last one's reply. Raises Fault for the first that fails."""
        reply = await self.attempt()
        while self.prepared.follow is not None:
            await self._advance(reply, self.prepared.follow)
            reply = await self.attempt()
        return reply

    async def go_on(self, fault: Fault) -> Reply:
        """What is left of the row after an attempt that ended in `fault`: that question's further attempts, and the
        questions behind it. Raises Fault."""
        reply = await self.again(fault)
        while self.prepared.follow is not None:
            await self._advance(reply, self.prepared.follow)
            try:
                reply = await self.attempt()
            except Fault as error:
                first = error.without_traceback()
                if not self.may_retry(first):
                    raise
                reply = await self.again(first)
        return reply

    async def _advance(self, reply: Reply, follow: Callable[[], Awaitable[PreparedRequest]]) -> None:
        """Keeps the answer to a question that others follow, and prepares the next one.

        The attempts and the deadline of the next question count anew. A question that cannot be prepared ends the row.
        """
        self._context.on_turn(self.item, reply, self.attempts[-1])
        try:
            self.prepared = await follow()
        except Fault as fault:
            fault.retry = "no"
            raise
        self._before, self._once, self._deadline = len(self.attempts), 0, None

    @property
    def _due(self) -> float:
        """When the question must be over. Time that the process slept does not count."""
        assert self._deadline is not None
        self._context.look()
        return self._deadline + self._context.slept

    def may_retry(self, fault: Fault) -> bool:
        """Whether `again` would send once more."""
        return self._deadline is not None and _resumable(fault) and isinstance(self._decide(fault), Again)

    def _worst(self) -> float:
        worst = self.prepared.worst_cost
        if worst is None and self._context.budget.max_cost is not None:
            raise refusal(
                "UnknownPrice",
                "a budget is set and the price of this request is not known: "
                "set a price for the model, or remove budget.max_cost",
            )
        return worst or 0.0

    async def _turned_back(self, ticket: Ticket) -> None:
        """Admitted in the moment in which the run was stopped: it does not start any more."""
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            self._context.account.abandon(ticket)
            raise

    async def _send(self, ticket: Ticket, started: float) -> AttemptResult:
        """The time on the wire: nobody cancels it but the clock and a stop whose grace is over."""
        context = self._context
        timeouts = context.policy.timeouts
        if self._deadline is None:
            self._deadline = ticket.at + context.policy.deadline - context.slept
            context.account.retries.first(ticket.at)
        self._use_grant(ticket.at)
        context.counters.admitted(ticket.at)
        context.admitted(ticket.at)
        due = self._due
        scope = anyio.CancelScope(deadline=min(now() + timeouts.total, due), shield=True)
        result: AttemptResult | None = None
        context.in_flight.add(scope)
        try:
            with scope:
                result = await send_once(context.transport, self.prepared, timeouts, started)
        except BaseException:
            context.account.abandon(ticket)
            raise
        finally:
            context.in_flight.discard(scope)
        self._ended_at = now()
        if result is None:
            result = AttemptResult(fault=self._cut_off(ticket))
        self._settle(ticket, result)
        return result

    def _settle(self, ticket: Ticket, result: AttemptResult) -> None:
        self._throttled, self._asked = False, None
        if result.fault is not None and result.fault.code in (INTERRUPTED, STALE):
            self._context.account.abandon(ticket)
            return
        self._context.silence.attempt_ended(self._ended_at, result.fault)
        usage = result.usage
        used: int | None = None
        if usage.input_tokens is not None:
            used = usage.input_tokens + (usage.output_tokens or 0)
        elif result.free:
            used = 0
        account = self._context.account
        taken = account.settle(
            ticket, result.fault, used=used, hints=result.hints, now=self._ended_at, isolated=self.isolated
        )
        self._throttled = taken == "throttled"
        self.isolated |= taken == "transient" and account.refusals.answering(self._ended_at, ticket.at)
        if taken not in ("transient", "malformed") and len(self.attempts) > self._before:
            account.retries.answered()
        self._asked = wait_asked(result.fault, result.hints) if result.fault is not None else None
        self._put_off(self._asked if result.fault is not None else result.hints.used_up)

    def _put_off(self, seconds: float | None) -> None:
        """Stops the run where the service asks for a longer pause than a run is to wait."""
        if seconds is None or seconds <= LONGEST_PAUSE:
            return
        self.put_off = True
        until = datetime.datetime.fromtimestamp(self._context.wall() + min(seconds, MOST_SAID))
        message = (
            f"the service asks for a pause until {until:%Y-%m-%d %H:%M} ({seconds / 3600:,.0f} h), longer than "
            "an hour: the rows that are left are for a later run"
        )
        self._context.stop.drain("circuit", message=message)

    def _cut_off(self, ticket: Ticket) -> Fault:
        """Why the scope around an attempt was cancelled."""
        landed = self._ended_at
        policy = self._context.policy
        if landed >= self._due:
            message = f"the row's deadline of {policy.deadline:g} s (retry.deadline) came during this attempt"
            return Fault("transient", "Local.Deadline", message)
        if landed >= ticket.at + policy.timeouts.total:
            return total_timeout(policy.timeouts.total)
        return Fault("transient", INTERRUPTED, "the run was stopped during this attempt")

    def _price(self, usage: Usage) -> tuple[float | None, str | None]:
        return (None, None) if usage == Usage() else self.prepared.price(usage)

    def _record(
        self, ticket: Ticket, started: float, result: AttemptResult, cost: float | None, currency: str | None
    ) -> None:
        fault = result.fault
        attempt = Attempt(
            attempt=len(self.attempts) + 1,
            started_at=round(started * 1e6),
            latency_ms=round((self._ended_at - ticket.at) * 1000),
            http_status=(fault.http_status if fault else None) or result.status,
            fault=fault.kind if fault else None,
            code=fault.code if fault else None,
            request_id=result.request_id,
            usage=result.usage,
            cost=cost,
            currency=currency,
        )
        self.attempts.append(attempt)
        counters = self._context.counters
        counters.attempt(result.usage, cost, currency, free=result.free)
        if fault is not None:
            counters.throttled += self._throttled
            counters.faults += not self._throttled
            self._context.on_attempt(self.item, attempt)

    async def _allowed(self, fault: Fault) -> None:
        """Before a retry: uploads made anew if they had expired, and room in the account's retry budget."""
        account = self._context.account
        if not self._throttled:
            await account.retries.turn(account.rng, lambda: self._context.ending and not account.cooldown.streak)
            self._granted = True
        if isinstance(self._decision, Again) and self._decision.renewed and self.prepared.renew is not None:
            self.prepared = await self.prepared.renew()
        self._context.counters.retries += 1

    def _use_grant(self, sent: float | None) -> None:
        """Tells the account what became of the retry that it granted. sent: when it was sent; None: it is not sent."""
        if self._granted and sent is not None:
            self._context.account.retries.sent(sent)
        elif self._granted:
            self._context.account.retries.withdrawn()
        self._granted = False

    def _decide(self, fault: Fault) -> Again | GiveUp:
        made = len(self.attempts) - self._before
        remaining = self._due - anyio.current_time()
        past = Past(attempts=made, once=self._once, remaining=remaining, throttled=self._throttled)
        policy = self._context.policy
        account = self._context.account
        return decide(
            fault,
            past,
            attempts=policy.attempts,
            retry_after=self._asked,
            rng=account.rng,
            isolated=not account.cooldown.streak,
        )

    def _wants_more(self, error: BaseException) -> bool:
        if not isinstance(error, Fault) or not _resumable(error):
            return False
        self._decision = self._decide(error.without_traceback())
        if isinstance(self._decision, Again) and error.retry in ("once", "upload"):
            self._once += 1
        return isinstance(self._decision, Again)

    def _pause(self) -> float:
        assert isinstance(self._decision, Again)
        return self._decision.seconds


def _resumable(fault: Fault) -> bool:
    """Neither cut off by a stop nor a reason to stop."""
    return fault.code != INTERRUPTED and fault.kind != "account"
