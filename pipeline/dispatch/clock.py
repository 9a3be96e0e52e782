"""The clock of the event loop, and deadlines that are moved when the process has slept.

A process that was stopped (SIGSTOP, a frozen container, a paused virtual machine) wakes with every timer overdue.
Overdue timers run in the order in which they were due. A short timer that always runs is the first overdue timer, and
moves the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

import anyio


def now() -> float:
    """Returns the same seconds as `anyio.current_time`. That function takes ten times as long (1.4 µs), because it
    looks for its library."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # trio runs
        return anyio.current_time()


TICK_SECONDS = 0.5
LATE_SECONDS = 1.0
"""If a tick is this late, the process slept. If the loop was only busy for so long, timeouts get more time too."""


class Sleeper(Protocol):
    """An object with timers of its own."""

    def slept(self, seconds: float) -> None:
        """Restarts the overdue timers after the process slept for `seconds`. Is called before the overdue timers
        run."""
        ...


_timed: WeakSet[anyio.CancelScope] = WeakSet()
_sleepers: WeakSet[Sleeper] = WeakSet()


def add_sleeper(sleeper: Sleeper) -> None:
    """Calls `sleeper.slept` after each sleep that is noticed, as long as `sleeper` lives."""
    _sleepers.add(sleeper)


def timed(deadline: float, *, shield: bool = False) -> anyio.CancelScope:
    """Returns a scope that is cancelled at `deadline` (of anyio's clock), or later by the time that the process
    slept."""
    scope = anyio.CancelScope(deadline=deadline, shield=shield)
    _timed.add(scope)
    return scope


@contextmanager
def sleep_noticed(slept: Callable[[float], None]) -> Iterator[Callable[[], None]]:
    """Moves the deadlines of `timed` scopes after each sleep, and calls `slept` with the seconds. Works on asyncio
    only.

    Yields a function that checks at once whether the process slept. A decision that depends on a deadline calls this
    function first, because tasks that were ready when the process was stopped run before any timer.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        yield lambda: None
        return
    handle: asyncio.TimerHandle
    due = 0.0

    def schedule() -> None:
        nonlocal handle, due
        due = loop.time() + TICK_SECONDS
        handle = loop.call_at(due, tick)

    def check() -> None:
        late = loop.time() - due
        if late >= LATE_SECONDS:
            handle.cancel()
            for scope in list(_timed):
                scope.deadline += late
            for sleeper in list(_sleepers):
                sleeper.slept(late)
            slept(late)
            schedule()

    def tick() -> None:
        check()
        handle.cancel()
        schedule()

    schedule()
    try:
        yield check
    finally:
        handle.cancel()
