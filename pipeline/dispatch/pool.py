"""The pool: a few long-lived workers take rows from one source and bring each row to its ending."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from pipeline.counters import Counters, Gauges
from pipeline.dispatch.account import Account
from pipeline.dispatch.budget import Budget, Spent
from pipeline.dispatch.call import Call
from pipeline.dispatch.endings import Endings, Row
from pipeline.dispatch.memory import MemoryLimit, relaxed_gc
from pipeline.dispatch.pool_context import PoolContext, watch_silence, watch_sleep
from pipeline.dispatch.prefetch import NOT_READY, Inline, Mark, Source
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.dispatch.stats import gauges
from pipeline.dispatch.stop import Stop, Stopped
from pipeline.dispatch.transport import Transport
from pipeline.errors import Fault
from pipeline.machine import machine_error_of
from pipeline.types import Answered, Attempt, Ending, Left, Reply

T = TypeVar("T")

_JOB_IS_WRONG = ("account", "circuit")
"""Reasons of a stop after which the withheld rows remain for the next run."""

LEAST_AHEAD = 8
MOST_AHEAD = 128
LEAST_RETRIES_ASIDE = 256


class Pool(Generic[T]):
    """Sends the rows of one run over one account. The pool exists before it runs, so that its gauges can be shown."""

    def __init__(
        self,
        *,
        transport: Transport,
        account: Account,
        policy: Policy | None = None,
        budget: Budget | None = None,
        stop: Stop | None = None,
        counters: Counters | None = None,
        on_attempt: Callable[[T, Attempt], None] = lambda item, attempt: None,
        on_turn: Callable[[T, Reply, Attempt], None] = lambda item, reply, attempt: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stop = stop or Stop()
        self._context: PoolContext[T] = PoolContext(
            transport=transport,
            account=account,
            policy=policy or Policy(),
            budget=budget or Budget(),
            stop=self._stop,
            on_attempt=on_attempt,
            on_turn=on_turn,
            wall=wall,
            counters=counters or Counters(),
            admitted=self._start_workers,
        )
        self._memory = MemoryLimit(self._context.policy.most_bytes)
        self._workers = 0
        self._aside = 0
        self._watching = anyio.CancelScope()
        self._exhausted = False
        self._began = 0.0
        self._bug: BaseException | None = None
        self._group: TaskGroup
        self._endings: Endings[T]

    async def run(
        self,
        source: Iterator[T] | Source[T],
        ask: Callable[[T], Awaitable[PreparedRequest | None]],
        done: Callable[[T, Ending], None],
    ) -> Stopped:
        """Sends every row of `source` until the source ends or the run is stopped. Returns why the run ended.

        source: `next` of an iterator must not block for long. Rows that a stop leaves unread are not touched. ask:
        prepares a row (loads the row's media in threads). A Fault that `ask` raises is the row's failure: nothing is
        sent. If `ask` returns None, the caller ends the row. done: called in the loop's thread, exactly once for each
        other row that was read. A MachineError from `done` or `on_attempt` stops the run, which ends when the requests
        in flight have ended. Any other error stops the run too, and is then raised.
        """
        self._source: Source[T] = Inline(source) if isinstance(source, Iterator) else source
        self._ask, self._endings = ask, Endings(self._context, done, self._on_bug)
        self._began = anyio.current_time()
        try:
            with relaxed_gc():
                async with anyio.create_task_group() as self._group:
                    self._stop.listen(self._on_stop)
                    self._group.start_soon(self._watch)
                    self._start_workers(self._began)
                    self._end_if_over()
        finally:
            stopped = self._stop.stopped
            self._endings.record_withheld(left=stopped is not None and stopped.reason in _JOB_IS_WRONG)
        if self._bug is not None:
            raise self._bug
        return self._stop.stopped or Stopped(reason="finished")

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """Marks a block of `ask` in which a row waits for another party, for example the host of an image. Another row
        is prepared in the meantime, so that slow hosts do not hold all workers."""
        self._aside += 1
        self._start_workers(anyio.current_time())
        try:
            yield
        finally:
            self._aside -= 1

    @property
    def counters(self) -> Counters:
        """Returns what the pool counts. The pool counts attempts. The code that records the endings counts rows."""
        return self._context.counters

    def gauges(self) -> Gauges:
        """Returns the current gauges. Must be called from the loop's thread."""
        return gauges(self._context, self._memory, self._began)

    def _start_workers(self, now: float) -> None:
        """Starts workers, so that a few rows are prepared ahead of the requests in flight. Is called at each
        admission."""
        limit = self._context.account.limit(now)
        ahead = self._context.policy.ahead or max(LEAST_AHEAD, min(MOST_AHEAD, limit // 4))
        while not self._exhausted and self._workers - self._aside - len(self._context.in_flight) < ahead:
            self._workers += 1
            self._group.start_soon(self._work)

    async def _work(self) -> None:
        try:
            while not self._exhausted and not self._context.halted:
                taken = await self._memory.acquire()
                while (item := self._source.poll()) is NOT_READY:
                    await self._source.wait()
                if isinstance(item, Mark):
                    self._exhausted = self._context.ending = True
                    self._memory.release(taken)
                else:
                    row = Row(item, taken)
                    await self._process(row, self._first(row))
                    if row.call is None:  # Thousands of rows may be refused one after the other without a wait.
                        await anyio.lowlevel.checkpoint()
        except Exception as error:
            self._on_bug(error)
        finally:
            self._workers -= 1
            self._end_if_over()

    async def _retry_aside(self, row: Row[T], fault: Fault) -> None:
        """Makes the retries of a row in a separate task. So a row that waits for a retry holds no slot and no
        worker."""
        assert row.call is not None
        try:
            await self._process(row, row.call.go_on(fault))
        except Exception as error:
            self._on_bug(error)
        finally:
            self._context.waiting_retries -= 1
            self._end_if_over()

    async def _first(self, row: Row[T]) -> Reply | None:
        """Prepares the row and makes the first attempt of each question. Returns None if another task ends the row."""
        prepared = await self._ask(row.item)
        if prepared is None:
            self._memory.release(row.taken)
            return None
        row.taken = self._memory.settle(row.taken, len(prepared.request.body))
        row.call = call = Call(row.item, prepared, self._context)
        try:
            return await call.begin()
        except Fault as fault:
            if not call.may_retry(fault):
                raise
            first = fault.without_traceback()
        if self._context.waiting_retries >= max(LEAST_RETRIES_ASIDE, 2 * self._workers):
            return await call.go_on(first)
        self._context.waiting_retries += 1
        self._group.start_soon(self._retry_aside, row, first)
        return None

    async def _process(self, row: Row[T], step: Awaitable[Reply | None]) -> None:
        """Awaits `step` and ends the row by its result. A result of None leaves the row to another task."""
        ending: Ending
        try:
            reply = await step
        except Fault as fault:
            ending = self._endings.of_fault(row, fault.without_traceback())
        except Spent:
            self._stop.drain("budget", message=self._context.budget.message())
            ending = Left(attempts=row.attempts)
        except BaseException as error:
            self._end(row, Left(attempts=row.attempts))
            found = machine_error_of(error) if isinstance(error, Exception) else None
            if found is None:
                raise
            self._stop.drain("machine", message=str(found))
            return
        else:
            if reply is None:
                return
            self._endings.on_answer()
            ending = Answered(reply=reply, attempts=row.attempts)
        self._end(row, ending)

    def _end(self, row: Row[T], ending: Ending) -> None:
        self._memory.release(row.taken)
        self._endings.end(row.item, ending)

    def _on_stop(self) -> None:
        """Handles a request to stop: rows that wait are left at once, requests in flight have the grace period."""
        self._halt()
        if self._stop.now:
            self._context.set_deadline(anyio.current_time())
        elif self._stop.grace is not None:
            self._context.set_deadline(anyio.current_time() + self._stop.grace)

    def _on_bug(self, error: Exception) -> None:
        """Keeps the first bug and sends nothing new. `run` raises this bug when the requests in flight have ended."""
        if self._bug is None:
            self._bug = error
        self._halt()

    def _halt(self) -> None:
        self._context.halted = True
        self._group.cancel_scope.cancel()

    def _end_if_over(self) -> None:
        if not self._workers and not self._context.waiting_retries:
            self._watching.cancel()

    async def _watch(self) -> None:
        """Runs the watching tasks as long as the pool runs.

        If the run is cancelled from outside, all requests in flight are cut off.
        """
        try:
            with self._watching:
                async with anyio.create_task_group() as group:
                    group.start_soon(watch_sleep, self._context)
                    group.start_soon(watch_silence, self._context)
                    await self._endings.release_when_quiet()
        except BaseException:
            self._context.halted = True
            if self._stop.stopped is None and self._bug is None:
                self._context.set_deadline(anyio.current_time())
            raise
