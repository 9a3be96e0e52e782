"""The fan-out: few long-lived workers pull rows from one iterator and see each to its ending."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from pipeline.dispatch.account import Account
from pipeline.dispatch.budget import Budget, Spent
from pipeline.dispatch.call import INTERRUPTED, Call, PoolContext
from pipeline.dispatch.clock import noticed
from pipeline.dispatch.memory import MemoryLimit, relaxed_gc
from pipeline.dispatch.prefetch import NOT_READY, Inline, Mark, Source
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.dispatch.stats import Snapshot, snapshot
from pipeline.dispatch.stop import Circuit, FirstCalls, Stop, Stopped
from pipeline.dispatch.transport import Transport
from pipeline.errors import Fault, MachineError
from pipeline.machine import SHORT, machine_error_of
from pipeline.types import Answered, Attempt, Ending, Failed, Left, Reply

T = TypeVar("T")

_LEAVING = ("account", "circuit")
"""Stops that say that the job is wrong, so that its rows are for the next run."""

QUIET_SECONDS = 1.0
"""How long nothing may be on its way before refusals that were held back are recorded."""

LISTEN_SECONDS = 0.5
"""Between looks at whether what is on its way has landed."""

LEAST_AHEAD = 8
MOST_AHEAD = 128
LEAST_RETRIES_ASIDE = 256


class Pool(Generic[T]):
    """One run's fan-out over one account. Built before it runs, so that its `snapshot` can be watched."""

    def __init__(
        self,
        *,
        transport: Transport,
        account: Account,
        policy: Policy | None = None,
        budget: Budget | None = None,
        stop: Stop | None = None,
        on_attempt: Callable[[T, Attempt], None] = lambda item, attempt: None,
        on_turn: Callable[[T, Reply, Attempt], None] = lambda item, reply, attempt: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stop = stop or Stop()
        self._policy = policy = policy or Policy()
        self._context: PoolContext[T] = PoolContext(
            transport=transport,
            account=account,
            policy=policy,
            budget=budget or Budget(),
            stop=self._stop,
            on_attempt=on_attempt,
            on_turn=on_turn,
            wall=wall,
        )
        self._context.admitted = self._more_workers
        self._account = account
        self._circuit = Circuit(policy.circuit_ratio, policy.circuit_min_calls)
        self._beginning: FirstCalls[T] = FirstCalls(policy.circuit_refusals)
        self._memory = MemoryLimit(policy.most_bytes)
        self._workers = 0
        self._aside = 0
        self._watching = anyio.CancelScope()
        self._sleeping = anyio.CancelScope()
        self._listening = anyio.CancelScope()
        self._exhausted = False
        self._began = 0.0
        self._bug: BaseException | None = None
        self._group: TaskGroup | None = None

    async def run(
        self,
        source: Iterator[T] | Source[T],
        ask: Callable[[T], Awaitable[PreparedRequest | None]],
        done: Callable[[T, Ending], None],
    ) -> Stopped:
        """Sends every row of `source` until it ends or the run is stopped.

        source: an iterator's `next` must not block for long; rows that a stop leaves unread are not touched. ask:
        prepares a row (loads its media off the loop); a Fault that it raises is the row's failure, nothing is sent;
        None: the row is over for the pool, others end it.
        done: called exactly once for each other row that was read, in the loop's thread. A MachineError from `done` or
        `on_attempt` stops the run and drains it; any other error does too, and is raised when all that flew has landed.
        """
        self._source: Source[T] = Inline(source) if isinstance(source, Iterator) else source
        self._ask, self._done = ask, done
        self._began = anyio.current_time()
        self._holding = anyio.Event()
        try:
            with relaxed_gc():
                await self._fan_out()
        finally:
            stopped = self._stop.stopped
            self._settle(left=stopped is not None and stopped.reason in _LEAVING)
        if self._bug is not None:
            raise self._bug
        return self._stop.stopped or Stopped(reason="finished")

    async def _fan_out(self) -> None:
        async with anyio.create_task_group() as group:
            self._group = group
            self._stop.listen(self._stopping)
            group.start_soon(self._watch)
            group.start_soon(self._notice_sleep)
            group.start_soon(self._listen)
            self._more_workers(self._began)
            self._if_over()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """A block of `ask` in which a row waits for somebody else, such as the host of its picture. Another row is
        prepared meanwhile: slow hosts must not hold all workers."""
        self._aside += 1
        self._more_workers(anyio.current_time())
        try:
            yield
        finally:
            self._aside -= 1

    def snapshot(self) -> Snapshot:
        """The counters and gauges of now; to be called from the loop's thread."""
        return snapshot(self._context, self._memory, self._began)

    def _more_workers(self, now: float) -> None:
        """Keeps a few rows prepared ahead of the wire; called whenever one has gone out."""
        limit = self._account.limit(now)
        ahead = self._policy.ahead or max(LEAST_AHEAD, min(MOST_AHEAD, limit // 4))
        assert self._group is not None
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
                    row = _Row(item, taken)
                    await self._see(row, self._first)
                    if row.call is None:  # Refused rows may come by the thousand, and nothing of theirs waits.
                        await anyio.lowlevel.checkpoint()
        except Exception as error:
            self._broken(error)
        finally:
            self._workers -= 1
            self._if_over()

    async def _later(self, row: _Row[T], fault: Fault) -> None:
        """The retries of a row beside the workers: waiting, it holds neither a slot nor a worker."""

        async def again(row: _Row[T]) -> Reply:
            assert row.call is not None
            return await row.call.go_on(fault)

        try:
            await self._see(row, again)
        except Exception as error:
            self._broken(error)
        finally:
            self._context.counters.waiting_retries -= 1
            self._if_over()

    async def _first(self, row: _Row[T]) -> Reply | None:
        """Preparation and the first attempt of each question; None when the row goes on elsewhere than here."""
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
        counters = self._context.counters
        if counters.waiting_retries >= max(LEAST_RETRIES_ASIDE, 2 * self._workers):
            return await call.go_on(first)
        counters.waiting_retries += 1
        assert self._group is not None
        self._group.start_soon(self._later, row, first)
        return None

    async def _see(self, row: _Row[T], step: Callable[[_Row[T]], Awaitable[Reply | None]]) -> None:
        """Takes a step of a row's life and ends the row with what comes of it."""
        ending: Ending
        try:
            reply = await step(row)
        except Fault as fault:
            ending = self._ended_by(row, fault.without_traceback())
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
            self._circuit.ended(None)
            ending = Answered(reply=reply, attempts=row.attempts)
        self._end(row, ending)

    def _ended_by(self, row: _Row[T], fault: Fault) -> Ending:
        """A fault is the row's failure, unless it says that the run must stop: then the row is left."""
        if fault.code == INTERRUPTED:
            return Left(attempts=row.attempts)
        if row.call is not None and row.call.put_off:
            return Left(attempts=row.attempts)
        if fault.code == SHORT:
            self._stop.drain("machine", message=fault.message)
            return Left(attempts=row.attempts)
        if fault.kind == "account":
            self._stop.drain("account", message=fault.message, fault=fault)
            return Left(attempts=row.attempts)
        if row.attempts and not self._is_leftover(row) and self._circuit.ended(fault):
            self._stop.drain("circuit", message=self._circuit.message(fault), fault=fault)
        return Failed(fault=fault, attempts=row.attempts)

    def _is_leftover(self, row: _Row[T]) -> bool:
        """A row whose faults are its own fails later than others are answered, and at a run's end all such rows come
        together: they say nothing of the service."""
        return self._context.ending and row.call is not None and row.call.isolated

    def _end(self, row: _Row[T], ending: Ending) -> None:
        self._memory.release(row.taken)
        beginning = self._beginning
        for item, known in beginning.ended(row.item, ending):
            self._record(item, known)
        if beginning.holds:
            self._holding.set()
        if beginning.refusal is not None:
            self._stop.drain("circuit", message=beginning.message(), fault=beginning.refusal)

    def _record(self, item: T, ending: Ending) -> None:
        counters = self._context.counters
        counters.answered += isinstance(ending, Answered)
        counters.failed += isinstance(ending, Failed)
        counters.left += isinstance(ending, Left)
        try:
            self._done(item, ending)
        except MachineError as error:
            self._stop.drain("machine", message=str(error))

    def _settle(self, *, left: bool) -> None:
        """Records what is held back of the beginning: as rows that are left, or as failures."""
        try:
            for item, ending in self._beginning.rest(left=left):
                self._record(item, ending)
        except Exception as error:
            self._broken(error)

    def _stopping(self) -> None:
        """A stop was asked for: what waits is left at once, what flies has the grace."""
        assert self._group is not None
        self._context.halted = True
        self._group.cancel_scope.cancel()
        if self._stop.now:
            self._context.set_deadline(anyio.current_time())
        elif self._stop.grace is not None:
            self._context.set_deadline(anyio.current_time() + self._stop.grace)

    def _broken(self, error: Exception) -> None:
        """A bug: nothing new is sent, what flies lands, then it is raised."""
        if self._bug is None:
            self._bug = error
        assert self._group is not None
        self._context.halted = True
        self._group.cancel_scope.cancel()

    async def _release_when_quiet(self) -> None:
        """Records what is held back of the beginning once no call is on its way that could say what to make of it:
        other rows may wait for the outcome of such a row, and must not wait for ever."""
        context = self._context
        while True:
            await self._holding.wait()
            self._holding = anyio.Event()
            while self._beginning.holds:
                attempts = context.counters.attempts
                await anyio.sleep(QUIET_SECONDS)
                busy = context.in_flight or context.counters.waiting_retries or self._account.admission.waiting
                if not busy and attempts == context.counters.attempts:
                    self._settle(left=False)

    def _if_over(self) -> None:
        if not self._workers and not self._context.counters.waiting_retries:
            self._watching.cancel()
            self._sleeping.cancel()
            self._listening.cancel()

    async def _notice_sleep(self) -> None:
        with self._sleeping, noticed(self._context.sleep) as self._context.look:
            await anyio.sleep_forever()

    async def _listen(self) -> None:
        """Stops the run when the service has been silent for too long. What is on its way is awaited first: it may be
        a connection that was made."""
        context, silence = self._context, self._context.silence
        with self._listening:
            while True:
                await silence.begun.wait()
                while (left := silence.left(anyio.current_time())) is not None:
                    if left <= 0 and not context.in_flight:
                        self._stop.drain("circuit", message=silence.message())
                        return
                    await anyio.sleep(max(left, LISTEN_SECONDS))

    async def _watch(self) -> None:
        """Lives as long as the run. Cancelled from outside it brings down what flies: nobody waits for it any more."""
        try:
            with self._watching:
                await self._release_when_quiet()
        except BaseException:
            self._context.halted = True
            if self._stop.stopped is None and self._bug is None:
                self._context.set_deadline(anyio.current_time())
            raise


async def run(
    source: Iterator[T] | Source[T],
    ask: Callable[[T], Awaitable[PreparedRequest | None]],
    done: Callable[[T, Ending], None],
    *,
    transport: Transport,
    account: Account,
    policy: Policy | None = None,
    budget: Budget | None = None,
    stop: Stop | None = None,
    on_attempt: Callable[[T, Attempt], None] = lambda item, attempt: None,
    wall: Callable[[], float] = time.time,
) -> Stopped:
    """A `Pool` built and run: for those who do not watch it."""
    pool: Pool[T] = Pool(
        transport=transport,
        account=account,
        policy=policy,
        budget=budget,
        stop=stop,
        on_attempt=on_attempt,
        wall=wall,
    )
    return await pool.run(source, ask, done)


class _Row(Generic[T]):
    """A row that was read from the source; `taken` is its share of the room."""

    __slots__ = ("call", "item", "taken")

    def __init__(self, item: T, taken: int) -> None:
        self.item = item
        self.taken = taken
        self.call: Call[T] | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(self.call.attempts) if self.call is not None else ()
