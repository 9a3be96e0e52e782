"""One run of a pool over the scripted wire, with everything that came of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

import anyio
from support.scripted import Answer, ScriptedWire, prepared

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.dispatch.stop import Stop, Stopped
from pipeline.types import Attempt, Ending


class PoolRun:
    """One run of a pool over the scripted wire, and everything that came of it."""

    def __init__(
        self,
        script: Callable[[int, float], Answer],
        *,
        limits: Limits | None = None,
        policy: Policy | None = None,
        ask: Callable[[int], PreparedRequest | None] = prepared,
        account: Account | None = None,
        **pool: Any,
    ) -> None:
        self.wire = ScriptedWire(script)
        self.account = account or Account(limits or Limits(), rng=random.Random(7))
        self.policy = policy or Policy()
        self.endings: dict[int, Ending] = {}
        self.ended_at: dict[int, float] = {}
        self.attempts: list[tuple[int, Attempt]] = []
        self.stop = Stop()
        self.stopped: Stopped | None = None
        self.began = 0.0
        self.took = 0.0
        self._ask = ask
        self._pool = pool
        self.pool: Pool[int] | None = None

    async def run(self, rows: int | Iterable[int] | Any) -> PoolRun:
        self.began = anyio.current_time()
        self.pool = Pool(
            transport=self.wire,
            account=self.account,
            policy=self.policy,
            stop=self.stop,
            on_attempt=lambda row, attempt: self.attempts.append((row, attempt)),
            wall=anyio.current_time,
            **self._pool,
        )
        source: Any = rows if hasattr(rows, "poll") else iter(range(rows) if isinstance(rows, int) else rows)
        self.stopped = await self.pool.run(source, self._prepare, self._done)
        self.took = anyio.current_time() - self.began
        return self

    async def _prepare(self, row: int) -> PreparedRequest | None:
        return self._ask(row)

    def _done(self, row: int, ending: Ending) -> None:
        assert row not in self.endings, f"row {row} ended twice"
        self.endings[row] = ending
        self.ended_at[row] = anyio.current_time() - self.began

    def count(self, kind: type) -> int:
        return sum(isinstance(ending, kind) for ending in self.endings.values())


def run_for(virtual: Callable[[Callable[[], Any]], Any], one: PoolRun, seconds: float) -> None:
    """Runs over endless rows on the virtual clock, and cuts the run off after `seconds`."""

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one.run, itertools.count())
            await anyio.sleep(seconds)
            one.stop.request_stop("until", 0)

    virtual(main)
