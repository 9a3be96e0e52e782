"""What all calls of one pool share, and the tasks that watch over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import anyio

from pipeline.counters import Counters
from pipeline.dispatch.account import Account
from pipeline.dispatch.budget import Budget
from pipeline.dispatch.clock import sleep_noticed
from pipeline.dispatch.counters import AdmissionRate
from pipeline.dispatch.prepared_request import Policy
from pipeline.dispatch.stop import Silence, Stop
from pipeline.dispatch.transport import Transport
from pipeline.types import Attempt, Reply

T = TypeVar("T")

SILENCE_CHECK_SECONDS = 0.5
"""Seconds between two checks whether requests to a silent service are still in flight."""


@dataclass(kw_only=True, eq=False)
class PoolContext(Generic[T]):
    """The shared state of a pool's calls.

    halted: nothing new is sent. ending: the source has no more rows, so no other row waits behind a retry. slept:
    seconds for which the process slept. check_sleep: moves the deadlines at once if the process has just slept.
    admitted: called with the time of each admission. waiting_retries: rows that wait to be sent again.
    """

    transport: Transport
    account: Account
    policy: Policy
    budget: Budget
    stop: Stop
    on_attempt: Callable[[T, Attempt], None]
    on_turn: Callable[[T, Reply, Attempt], None]
    wall: Callable[[], float]
    admitted: Callable[[float], None]
    counters: Counters = field(default_factory=Counters)
    admissions: AdmissionRate = field(default_factory=AdmissionRate)
    waiting_retries: int = 0
    in_flight: set[anyio.CancelScope] = field(default_factory=set)
    slept: float = 0.0
    check_sleep: Callable[[], None] = lambda: None
    halted: bool = False
    ending: bool = False

    def __post_init__(self) -> None:
        self.silence = Silence(self.policy.silence)

    def on_sleep(self, seconds: float) -> None:
        """Gives the requests in flight `seconds` more time, because the process slept for `seconds`."""
        self.slept += seconds
        self.silence.slept(seconds)
        for scope in self.in_flight:
            scope.deadline += seconds

    def set_deadline(self, deadline: float) -> None:
        """Cuts off every request that is still in flight at `deadline`."""
        for scope in self.in_flight:
            scope.deadline = min(scope.deadline, deadline)


async def watch_sleep(context: PoolContext[Any]) -> None:
    """Moves the pool's deadlines when the process has slept, until the task is cancelled."""
    with sleep_noticed(context.on_sleep) as context.check_sleep:
        await anyio.sleep_forever()


async def watch_silence(context: PoolContext[Any]) -> None:
    """Stops the run when the service has been silent for too long.

    Requests in flight are awaited first, because one of them may have a connection.
    """
    silence = context.silence
    while True:
        await silence.begun.wait()
        while (left := silence.left(anyio.current_time())) is not None:
            if left <= 0 and not context.in_flight:
                context.stop.drain("circuit", message=silence.message())
                return
            await anyio.sleep(max(left, SILENCE_CHECK_SECONDS))
