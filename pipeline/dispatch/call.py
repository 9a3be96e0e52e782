"""One row's call: its attempts from the first admission to the reply or the fault that ends the row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from pipeline.dispatch import settlement
from pipeline.dispatch.account import wait_asked
from pipeline.dispatch.attempt import AttemptResult, send_once
from pipeline.dispatch.clock import now, timed
from pipeline.dispatch.counters import count_attempt
from pipeline.dispatch.limiter import Ticket
from pipeline.dispatch.pool_context import PoolContext
from pipeline.dispatch.prepared_request import PreparedRequest
from pipeline.dispatch.retry import Again, GiveUp, Past, decide, retrying
from pipeline.dispatch.transport import STALE
from pipeline.errors import Fault
from pipeline.types import Attempt, Reply

T = TypeVar("T")


class Call(Generic[T]):
    """The state of one row between preparation and ending. The row holds a slot only while an attempt is in flight.

    A conversation is one row with several questions: `attempts` holds the attempts of all questions. isolated: the row
    failed while other rows were answered, so the row's faults say nothing about the service. put_off: the service asked
    for a pause that is longer than a run waits.
    """

    def __init__(self, item: T, prepared: PreparedRequest, context: PoolContext[T]) -> None:
        self.item = item
        self.prepared = prepared
        self.attempts: list[Attempt] = []
        self.isolated = False
        self.put_off = False
        self._context = context
        self._earlier_attempts = 0
        self._deadline: float | None = None
        self._ended_at = 0.0
        self._once = 0
        self._wait_asked: float | None = None
        self._throttled = False
        self._granted = False
        self._decision: Again | GiveUp | None = None

    async def begin(self) -> Reply:
        """Makes one attempt for each question of the row. Returns the last reply. Raises the first Fault, or Spent."""
        reply = await self._attempt()
        while self.prepared.follow is not None:
            await self._advance(reply, self.prepared.follow)
            reply = await self._attempt()
        return reply

    async def go_on(self, fault: Fault) -> Reply:
        """Makes the further attempts of a question whose first attempt ended in `fault`, then asks the questions that
        follow. Raises Fault, Spent."""
        reply = await self._retry(fault)
        while self.prepared.follow is not None:
            await self._advance(reply, self.prepared.follow)
            try:
                reply = await self._attempt()
            except Fault as error:
                first = error.without_traceback()
                if not self.may_retry(first):
                    raise
                reply = await self._retry(first)
        return reply

    def may_retry(self, fault: Fault) -> bool:
        """Tells whether `go_on` would send the request again."""
        return self._deadline is not None and settlement.resumable(fault) and isinstance(self._decide(fault), Again)

    async def _attempt(self) -> Reply:
        """Makes one attempt. If the connection was stale, makes a second attempt at once. A stale connection is not the
        row's fault and does not count against `retry.attempts`. Raises Fault, Spent."""
        try:
            return await self._attempt_once()
        except Fault as fault:
            if fault.code != STALE:
                raise
        self._earlier_attempts += 1
        return await self._attempt_once()

    async def _attempt_once(self) -> Reply:
        """Reserves the cost, waits for admission, sends, settles and records. Raises Fault, Spent."""
        context = self._context
        worst = settlement.worst_cost(self.prepared, context.budget)
        await context.budget.reserve(worst)
        settled: float | None = 0.0
        try:
            ticket = await context.account.admit(self.prepared.tokens)
            if context.halted:
                await self._give_back_if_cancelled(ticket)
            settled = None
            started = context.wall()
            result = await self._send(ticket, started)
            cost = settlement.cost_of(self.prepared, result.usage)
            settled = 0.0 if result.free else cost[0]
        finally:
            context.budget.settle(worst, settled)
        seconds = self._ended_at - ticket.at
        attempt = settlement.attempt_record(len(self.attempts) + 1, started, seconds, result, cost)
        self._record(attempt, free=result.free)
        if result.fault is not None:
            raise result.fault
        assert result.reply is not None
        return result.reply

    async def _retry(self, fault: Fault) -> Reply:
        """Makes the attempts after a first attempt that ended in `fault`, with the waits between the attempts.

        Raises the Fault that ends the call. If the deadline comes first, raises the fault of the last attempt.
        """
        last = pending = fault

        async def next_attempt() -> Reply:
            nonlocal last, pending
            if pending is not None:
                raised, pending = pending, None  # type: ignore[assignment]
                raise raised
            await self._prepare_retry()
            try:
                return await self._attempt()
            except Fault as error:
                last = error
                raise
            finally:
                self._use_grant(None)

        with timed(self._due()):
            return await retrying(next_attempt, wanted=self._wants_more, pause=self._pause)
        raise last

    async def _advance(self, reply: Reply, follow: Callable[[], Awaitable[PreparedRequest]]) -> None:
        """Records the answer to a question that is not the last question, and prepares the next question.

        Attempts and deadline are counted anew for the next question. A question that cannot be prepared ends the row.
        """
        self._context.on_turn(self.item, reply, self.attempts[-1])
        try:
            self.prepared = await follow()
        except Fault as fault:
            fault.retry = "no"
            raise
        self._earlier_attempts, self._once, self._deadline = len(self.attempts), 0, None

    def _due(self) -> float:
        """Returns the time at which the question must have ended. Time for which the process slept does not count."""
        assert self._deadline is not None
        self._context.check_sleep()
        return self._deadline + self._context.slept

    async def _give_back_if_cancelled(self, ticket: Ticket) -> None:
        """Gives the slot back if the task was cancelled: an attempt that was admitted at the moment of a stop is not
        sent."""
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            self._context.account.abandon(ticket)
            raise

    async def _send(self, ticket: Ticket, started: float) -> AttemptResult:
        """Sends the request. Only a timeout, the deadline, or a stop after its grace period cancels the request."""
        context = self._context
        timeouts = context.policy.timeouts
        if self._deadline is None:
            self._deadline = ticket.at + context.policy.deadline - context.slept
            context.account.retries.first(ticket.at)
        self._use_grant(ticket.at)
        context.admissions.admitted(ticket.at)
        context.admitted(ticket.at)
        scope = anyio.CancelScope(deadline=min(now() + timeouts.total, self._due()), shield=True)
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
        self._ended_at = ended = now()
        if result is None:
            result = AttemptResult(fault=settlement.cut_off_fault(context.policy, ended, ticket.at, self._due()))
        self._settle(ticket, result)
        return result

    def _settle(self, ticket: Ticket, result: AttemptResult) -> None:
        context, account, fault = self._context, self._context.account, result.fault
        self._throttled, self._wait_asked = False, None
        if fault is not None and fault.code in (settlement.INTERRUPTED, STALE):
            account.abandon(ticket)
            return
        context.silence.attempt_ended(self._ended_at, fault)
        used = settlement.used_tokens(result)
        taken_as = account.settle(
            ticket, fault, used=used, hints=result.hints, now=self._ended_at, isolated=self.isolated
        )
        self._throttled = taken_as == "throttled"
        self.isolated |= taken_as == "transient" and account.refusals.answering(self._ended_at, ticket.at)
        if taken_as not in ("transient", "malformed") and len(self.attempts) > self._earlier_attempts:
            account.retries.answered()
        self._wait_asked = wait_asked(fault, result.hints) if fault is not None else None
        pause = self._wait_asked if fault is not None else result.hints.used_up
        if pause is not None and pause > settlement.LONGEST_PAUSE:
            self.put_off = True
            context.stop.drain("circuit", message=settlement.long_pause_message(context.wall(), pause))

    def _record(self, attempt: Attempt, *, free: bool) -> None:
        self.attempts.append(attempt)
        counters = self._context.counters
        count_attempt(counters, attempt.usage, attempt.cost, attempt.currency, free=free)
        if attempt.fault is not None:
            counters.throttled += self._throttled
            counters.faults += not self._throttled
            self._context.on_attempt(self.item, attempt)

    async def _prepare_retry(self) -> None:
        """Waits for the account's retry budget, and uploads expired files again."""
        account = self._context.account
        if not self._throttled:
            await account.retries.turn(account.rng, lambda: self._context.ending and not account.cooldown.streak)
            self._granted = True
        if isinstance(self._decision, Again) and self._decision.renewed and self.prepared.renew is not None:
            self.prepared = await self.prepared.renew()
        self._context.counters.retries += 1

    def _use_grant(self, sent: float | None) -> None:
        """Tells the retry budget what became of the granted retry, if there is one. sent: when the retry was sent, None
        if the retry is not sent."""
        if self._granted and sent is not None:
            self._context.account.retries.sent(sent)
        elif self._granted:
            self._context.account.retries.withdrawn()
        self._granted = False

    def _decide(self, fault: Fault) -> Again | GiveUp:
        account, attempts = self._context.account, self._context.policy.attempts
        made = len(self.attempts) - self._earlier_attempts
        remaining = self._due() - anyio.current_time()
        past = Past(attempts=made, once=self._once, remaining=remaining, throttled=self._throttled)
        asked, isolated = self._wait_asked, not account.cooldown.streak
        return decide(fault, past, attempts=attempts, retry_after=asked, rng=account.rng, isolated=isolated)

    def _wants_more(self, error: BaseException) -> bool:
        if not isinstance(error, Fault) or not settlement.resumable(error):
            return False
        self._decision = self._decide(error.without_traceback())
        if isinstance(self._decision, Again) and error.retry in ("once", "upload"):
            self._once += 1
        return isinstance(self._decision, Again)

    def _pause(self) -> float:
        assert isinstance(self._decision, Again)
        return self._decision.seconds
