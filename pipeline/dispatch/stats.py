"""What an operator sees of a running pool: counters since its start and gauges of now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import msgspec

if TYPE_CHECKING:
    from pipeline.dispatch.memory import MemoryLimit
    from pipeline.dispatch.pool_context import PoolContext


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
