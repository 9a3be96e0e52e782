"""The gauges of a running pool, for the progress display and the metrics file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from pipeline.counters import Gauges

if TYPE_CHECKING:
    from pipeline.dispatch.memory import MemoryLimit
    from pipeline.dispatch.pool_context import PoolContext


def gauges(context: PoolContext[Any], memory: MemoryLimit, began: float) -> Gauges:
    """Returns the current gauges, and copies the account's number of pauses into the counters. began: when the pool
    began."""
    now = anyio.current_time()
    account = context.account
    context.counters.cooldowns = account.cooldown.count
    rate = account.requests.per_second
    return Gauges(
        admitted=context.admissions.per_second(began),
        in_flight=len(context.in_flight),
        concurrency=account.limit(now),
        rate=None if rate is None else rate * 60,
        waiting=context.waiting_retries,
        paused=account.cooldown.wait(now),
        queued=memory.bytes,
    )
