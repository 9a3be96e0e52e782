"""Decides whether and when a failed attempt is sent again, and runs the loop around a step that is tried again
(tenacity)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import msgspec

from pipeline.errors import Fault

BASE_SECONDS = 0.5
THROTTLED_BASE_SECONDS = 1.0
CAP_SECONDS = 60.0
ISOLATED_CAP_SECONDS = 1.0
"""The longest wait of a row that fails while other rows are answered. At the end of a run, the whole run waits for this
row."""
MALFORMED_ATTEMPTS = 3
BUDGET_SECONDS = 10.0
BUDGET_SHARE = 0.2
BUDGET_PER_SECOND = 10
"""Finagle's defaults: a fifth of the requests and ten a second, over ten seconds
(https://finagle.github.io/blog/2016/02/08/retry-budgets)."""


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """The decision to send the request again after `seconds`. renewed: the request's files are uploaded again first."""

    seconds: float
    renewed: bool = False


class GiveUp(msgspec.Struct, frozen=True, kw_only=True):
    """The decision that the fault ends the call."""

    because: str


Decision = Again | GiveUp


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """The history of a call.

    attempts: attempts made so far. once: further attempts that were granted for `once` and `upload`. remaining: seconds
    until the deadline. throttled: the last attempt counts as throttled, whatever the kind of its fault is.
    """

    attempts: int
    once: int
    remaining: float
    throttled: bool = False


def decide(
    fault: Fault, past: Past, *, attempts: int, retry_after: float | None, rng: random.Random, isolated: bool = False
) -> Decision:
    """Decides whether a request is sent again after one fault. retry_after: seconds for which the service asked to
    wait.

    Requests with throttled and transient faults are sent again until `attempts` attempts were made. Requests with
    malformed answers are sent again until three attempts were made. `once` and `upload` give one further attempt in
    all. Waits double from half a second (throttled: a second) to 60 s (1 s for an `isolated` fault, while the account
    is well), less a jitter of up to a half. Waits are never shorter than the service asked for. An upload needs no
    wait. If a wait would end after the deadline, the call gives up.
    """
    if fault.retry == "no":
        return GiveUp(because="the same request would fail again")
    if fault.retry in ("once", "upload") and past.once:
        return GiveUp(because="the one further attempt failed too")
    most = min(attempts, MALFORMED_ATTEMPTS) if fault.kind == "malformed" else attempts
    if past.attempts >= most:
        return GiveUp(because=f"{past.attempts} attempts failed")
    base = THROTTLED_BASE_SECONDS if past.throttled or fault.kind == "throttled" else BASE_SECONDS
    seconds = min(ISOLATED_CAP_SECONDS if isolated else CAP_SECONDS, base * 2.0 ** (past.attempts - 1)) * rng.uniform(
        0.5, 1.0
    )
    if fault.retry == "upload":
        seconds = 0.0
    if retry_after is not None:
        seconds = max(seconds, retry_after + rng.uniform(0.0, 0.25))
    if seconds >= past.remaining:
        return GiveUp(because=f"its deadline comes before the next attempt (in {seconds:.0f} s)")
    return Again(seconds=seconds, renewed=fault.retry == "upload")


class RetryBudget:
    """The bound on the load of retries in an outage.

    Within ten seconds, retries that are not answered are at most a fifth of the first attempts plus ten a second. A
    retry that does not fit waits; no retry is lost.

    Finagle counts every retry. Here a retry that is answered is given back. So a service that answers three quarters of
    the requests delays no retry, and after an outage retries are free as soon as they are answered. Throttled retries
    do not count, because the rate bounds them. A retry counts from the moment when it is granted until ten seconds
    after it is sent. Otherwise all retries that are granted during a pause of the account would be sent at once when
    the pause ends.
    """

    def __init__(
        self, share: float = BUDGET_SHARE, per_second: float = BUDGET_PER_SECOND, seconds: float = BUDGET_SECONDS
    ) -> None:
        self.waiting = 0
        self.unsent = 0
        self._share = share
        self._floor = per_second * seconds
        self._seconds = seconds
        self._firsts = _Window(seconds)
        self._retries = _Window(seconds)

    def first(self, now: float) -> None:
        """Counts a first attempt."""
        self._firsts.add(now)

    def answered(self) -> None:
        """Stops counting a retry that was answered or throttled."""
        self._retries.give_back()

    async def turn(self, rng: random.Random, free: Callable[[], bool] = lambda: False) -> None:
        """Waits until a retry fits or `free` returns True, and grants the retry. The caller then calls `sent` or
        `withdrawn`. The more retries wait, the longer each of them sleeps between two checks."""
        self.waiting += 1
        try:
            while not self.take(anyio.current_time(), free=free()):  # noqa: ASYNC110 - the budget grows with time
                await anyio.sleep(rng.uniform(0.5, 1.5) * (1 + self.waiting * self._seconds / self._floor / 10))
        finally:
            self.waiting -= 1

    def take(self, now: float, *, free: bool = False) -> bool:
        """Grants a retry if the retry fits or is free. Returns False if the retry must wait."""
        granted = self.unsent + self._retries.total(now)
        if not free and granted >= self._floor + self._share * self._firsts.total(now):
            return False
        self.unsent += 1
        return True

    def sent(self, now: float) -> None:
        """Counts a granted retry as sent at `now`."""
        self.unsent -= 1
        self._retries.add(now)

    def withdrawn(self) -> None:
        """Gives back a granted retry that is not sent any more."""
        self.unsent -= 1


class _Window:
    """The count of the events of the last `seconds`, in 60 cells. The memory is constant, and the count is exact to one
    cell."""

    def __init__(self, seconds: float) -> None:
        self._step = seconds / 60
        self._cells: deque[list[int]] = deque()
        self._total = 0

    def add(self, now: float) -> None:
        cell = int(now // self._step)
        if not self._cells or self._cells[-1][0] != cell:
            self._cells.append([cell, 0])
        self._cells[-1][1] += 1
        self._total += 1

    def give_back(self) -> None:
        """Removes the latest event."""
        if self._cells:
            self._cells[-1][1] -= 1
            self._total -= 1
            if not self._cells[-1][1]:
                self._cells.pop()

    def total(self, now: float) -> int:
        oldest = int(now // self._step) - 60
        while self._cells and self._cells[0][0] < oldest:
            self._total -= self._cells.popleft()[1]
        return self._total


R = TypeVar("R")


def load_retrying() -> None:
    """Imports tenacity, which is otherwise imported at the first retry."""
    import tenacity  # noqa: F401


async def retrying(
    step: Callable[[], Awaitable[R]], *, wanted: Callable[[BaseException], bool], pause: Callable[[], float]
) -> R:
    """Runs `step` until it returns. After an error, `wanted` tells whether the step is run again, and `pause` tells
    after how many seconds. Raises the last error of the step, unchanged."""
    from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

    # From version 9.1.4 on, tenacity awaits only functions made with `async def`, and no lambda and no partial.
    async def attempt() -> R:
        return await step()

    def wait(_state: RetryCallState) -> float:
        return pause()

    loop = AsyncRetrying(sleep=anyio.sleep, retry=retry_if_exception(wanted), wait=wait, reraise=True)
    try:
        return await loop(attempt)
    finally:
        loop.iter_state.reset()  # else a cycle keeps the request's bytes until the next garbage collection
