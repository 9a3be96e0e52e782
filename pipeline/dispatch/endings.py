"""The ending of each row: whether a fault fails the row or stops the run, and when the ending is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import anyio

from pipeline.dispatch.call import Call
from pipeline.dispatch.pool_context import PoolContext
from pipeline.dispatch.settlement import INTERRUPTED
from pipeline.dispatch.stop import Circuit, FirstCalls
from pipeline.errors import Fault, MachineError
from pipeline.machine import SHORT
from pipeline.types import Attempt, Ending, Failed, Left

T = TypeVar("T")

QUIET_SECONDS = 1.0
"""Seconds without an attempt in flight, and without an attempt that ends, after which withheld refusals are
recorded."""


class Row(Generic[T]):
    """A row that was read from the source. taken: bytes of the memory limit that the row takes. call: None until the
    row is prepared."""

    __slots__ = ("call", "item", "taken")

    def __init__(self, item: T, taken: int) -> None:
        self.item = item
        self.taken = taken
        self.call: Call[T] | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        return tuple(self.call.attempts) if self.call is not None else ()


class Endings(Generic[T]):
    """The endings of a pool's rows.

    done: called once for each row, in the loop's thread. A MachineError from `done` stops the run. on_bug: called with
    any other error that `done` raises for a withheld row.
    """

    def __init__(
        self, context: PoolContext[T], done: Callable[[T, Ending], None], on_bug: Callable[[Exception], None]
    ) -> None:
        policy = context.policy
        self._context = context
        self._done = done
        self._on_bug = on_bug
        self._circuit = Circuit(policy.circuit_ratio, policy.circuit_min_calls)
        self._first_calls: FirstCalls[T] = FirstCalls(policy.circuit_refusals)

    def on_answer(self) -> None:
        """Counts a row that was answered."""
        self._circuit.ended(None)

    def of_fault(self, row: Row[T], fault: Fault) -> Ending:
        """Returns the ending of a row whose call ended in `fault`. The row remains for a later run if the run was
        stopped during the attempt, if the service asked for a long pause, if the machine is short, or if the account is
        at fault. Otherwise the fault is the row's failure, even if the fault stops the run."""
        call, attempts = row.call, row.attempts
        stop = self._context.stop
        if fault.code == INTERRUPTED or (call is not None and call.put_off):
            return Left(attempts=attempts)
        if fault.code == SHORT:
            stop.drain("machine", message=fault.message)
            return Left(attempts=attempts)
        if fault.kind == "account":
            stop.drain("account", message=fault.message, fault=fault)
            return Left(attempts=attempts)
        # Rows with faults of their own end later than rows that are answered. At the end of a run, all these rows end
        # together. Then their faults say nothing about the service.
        of_the_service = not (self._context.ending and call is not None and call.isolated)
        if attempts and of_the_service and self._circuit.ended(fault):
            stop.drain("circuit", message=self._circuit.message(fault), fault=fault)
        return Failed(fault=fault, attempts=attempts)

    def end(self, item: T, ending: Ending) -> None:
        """Records the ending of a row, unless the ending is withheld until the first calls are known."""
        first_calls = self._first_calls
        for known_item, known in first_calls.ended(item, ending):
            self._record(known_item, known)
        if first_calls.refusal is not None:
            self._context.stop.drain("circuit", message=first_calls.message(), fault=first_calls.refusal)

    def record_withheld(self, *, left: bool) -> None:
        """Records the withheld refusals of the first calls: as remaining rows, or as failures."""
        try:
            for item, ending in self._first_calls.rest(left=left):
                self._record(item, ending)
        except Exception as error:
            self._on_bug(error)

    async def release_when_quiet(self) -> None:
        """Records withheld refusals when no request is in flight that could show whether the job is wrong.

        Other rows may wait for the outcome of a withheld row. These rows must not wait for ever.
        """
        context, first_calls = self._context, self._first_calls
        while True:
            await first_calls.withheld.wait()
            first_calls.withheld = anyio.Event()
            while first_calls.holds:
                attempts = context.counters.attempts
                await anyio.sleep(QUIET_SECONDS)
                busy = context.in_flight or context.waiting_retries or context.account.admission.waiting
                if not busy and attempts == context.counters.attempts:
                    self.record_withheld(left=False)

    def _record(self, item: T, ending: Ending) -> None:
        try:
            self._done(item, ending)
        except MachineError as error:
            self._context.stop.drain("machine", message=str(error))
