"""Blocking calls in a few threads: short ones share a trip, long ones run side by side."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple, Unpack

import anyio
import anyio.to_thread

T = TypeVar("T")
A = TypeVarTuple("A")

THREADS = 4
"""Pillow lets go of the interpreter while it decodes; what a quick load does in between, only one thread can do."""
BATCH_SECONDS = 0.005
"""A trip to a thread costs as much CPU as a load of 200 KB, for each thread and the loop take the interpreter from one
another: a run over such files took 1,580 µs a row with a trip each, 1,230 with one for ten (64 in flight)."""
PATIENCE_SECONDS = 0.1
"""A call that is still waiting after this opens another thread: so do pictures that are decoded, not quick loads."""


class ThreadBatcher:
    """At most `most` threads. The caller who finds none at work makes the trip, and takes along whoever waits when it
    begins or comes while it lasts; when its own call is done, it hands on to one who still waits."""

    def __init__(self, most: int = THREADS) -> None:
        self._most = most
        self._leading = 0
        self._waiting: deque[_Call] = deque()

    async def run(self, function: Callable[[Unpack[A]], T], *arguments: *A) -> T:
        """The function's result, or what it raises. A call that has begun runs to its end, whether or not its caller is
        cancelled."""
        call = _Call(function, arguments)
        self._waiting.append(call)
        try:
            await self._served(call)
        except BaseException:
            call.dropped = True
            self._hand_on()
            raise
        try:
            value: T = call.outcome()
            return value
        finally:
            del call  # its error's traceback holds this frame

    async def _served(self, call: _Call) -> None:
        if self._leading:
            with anyio.move_on_after(PATIENCE_SECONDS):
                await call.news.wait()
        while not call.done:
            if call.begun or self._leading >= self._most:
                await call.news.wait()
                call.news = anyio.Event()
            else:
                await self._lead(call)

    async def _lead(self, own: _Call) -> None:
        self._leading += 1
        taken: list[_Call] = []
        try:
            while not own.begun:
                await anyio.to_thread.run_sync(self._batch, taken)
                self._tell(taken)
        finally:
            self._leading -= 1
            self._tell(taken)
            self._hand_on()

    def _batch(self, taken: list[_Call]) -> None:
        """Blocking."""
        due = time.monotonic() + BATCH_SECONDS
        while self._waiting:
            try:
                call = self._waiting.popleft()
            except IndexError:  # another thread was quicker
                return
            if call.dropped:
                continue
            call.begun = True
            taken.append(call)
            call()
            if time.monotonic() >= due:
                return

    def _tell(self, taken: list[_Call]) -> None:
        for call in taken:
            call.done = True
            call.news.set()
        taken.clear()

    def _hand_on(self) -> None:
        """Asks the first one that waits to make a trip."""
        if self._leading < self._most:
            first = next((call for call in list(self._waiting) if not call.dropped), None)
            if first is not None:
                first.news.set()


class _Call:
    """One call: `begun` by a thread, `done` when the loop knows, `dropped` when nobody waits for it any more; `news` is
    set when its caller has something to do."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.begun = False
        self.done = False
        self.dropped = False
        self.news = anyio.Event()
        self._function = function
        self._arguments = arguments
        self._value: Any = None
        self._error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self._value = self._function(*self._arguments)
        except BaseException as error:
            self._error = error

    def outcome(self) -> Any:
        """What it gave. Raises what it raised."""
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error
        return self._value
