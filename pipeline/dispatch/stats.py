"""What an operator sees of a running pool: counters since its start and gauges of now."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from pipeline.types import Usage

if TYPE_CHECKING:
    from pipeline.dispatch.call import PoolContext
    from pipeline.dispatch.memory_limit import MemoryLimit


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Counters since the start: `rows` ended (`answered`, `failed`, `left`), `attempts` made and, of these, `throttled`
    and other `faults`, `retries` begun, `cooldowns` of the account, tokens, `cost` (None where no price is known) and
    `unknown_costs`.

    Gauges of now: attempts admitted per second over the last ten, attempts in flight, the limits in force
    (`rate_limit` per second, None = unlimited), seconds of pause left, waits in each queue, bytes prepared, and the
    money reserved for what is in flight.
    """

    seconds: float
    rows: int
    answered: int
    failed: int
    left: int
    attempts: int
    throttled: int
    faults: int
    retries: int
    cooldowns: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    unknown_costs: int
    currency: str | None
    admitted_per_second: float
    in_flight: int
    concurrency_limit: int
    rate_limit: float | None
    tokens_per_second_limit: float | None
    paused_seconds: float
    waiting_admission: int
    waiting_retries: int
    waiting_budget: int
    rows_prepared: int
    bytes_prepared: int
    reserved_cost: float


class Counters:
    """Counts as the pool goes along; cheap enough for each attempt."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self.left = 0
        self.attempts = 0
        self.throttled = 0
        self.faults = 0
        self.retries = 0
        self.waiting_retries = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.cost = 0.0
        self.unknown_costs = 0
        self.currency: str | None = None
        self._seconds: deque[tuple[int, int]] = deque(maxlen=11)

    def admitted(self, now: float) -> None:
        """One attempt was admitted at `now`."""
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((second, 1))

    def per_second(self, began: float) -> float:
        """Attempts admitted per second over the last ten whole seconds, or since `began`."""
        now = anyio.current_time()
        span = min(10.0, max(1.0, now - began))
        return sum(count for second, count in self._seconds if second >= now - span) / span

    def attempt(self, usage: Usage, cost: float | None, currency: str | None, *, free: bool) -> None:
        """One attempt is over."""
        self.attempts += 1
        self.input_tokens += usage.input_tokens or 0
        self.output_tokens += usage.output_tokens or 0
        if cost is not None:
            self.cost += cost
            self.currency = currency
        elif not free:
            self.unknown_costs += 1


def snapshot(context: PoolContext[Any], memory: MemoryLimit, began: float) -> Snapshot:
    """What the parts of a pool say of themselves now."""
    now = anyio.current_time()
    counters, account, budget = context.counters, context.account, context.budget
    return Snapshot(
        seconds=now - began,
        rows=counters.answered + counters.failed + counters.left,
        answered=counters.answered,
        failed=counters.failed,
        left=counters.left,
        attempts=counters.attempts,
        throttled=counters.throttled,
        faults=counters.faults,
        retries=counters.retries,
        cooldowns=account.cooldown.count,
        input_tokens=counters.input_tokens,
        output_tokens=counters.output_tokens,
        cost=counters.cost if counters.currency is not None else None,
        unknown_costs=counters.unknown_costs,
        currency=counters.currency,
        admitted_per_second=counters.per_second(began),
        in_flight=len(context.in_flight),
        concurrency_limit=account.limit(now),
        rate_limit=account.requests.per_second,
        tokens_per_second_limit=account.tokens.per_second,
        paused_seconds=account.cooldown.wait(now),
        waiting_admission=account.admission.waiting,
        waiting_retries=counters.waiting_retries,
        waiting_budget=budget.waiting,
        rows_prepared=memory.rows,
        bytes_prepared=memory.bytes,
        reserved_cost=budget.reserved,
    )
