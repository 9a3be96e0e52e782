"""Runs blocking calls in a few threads. Short calls share a trip to a thread, long calls run side by side."""

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
"""The most threads. Pillow releases the interpreter lock while it decodes. The other work of a load holds the lock, so
only one thread at a time can do it."""
BATCH_SECONDS = 0.005
"""How long a trip takes further calls. A trip to a thread costs as much CPU as a load of 200 KB, because the thread and
the loop take the interpreter lock from each other. A run over such files took 1,580 µs a row with one trip for each
file, and 1,230 µs with one trip for ten files (64 in flight)."""
PATIENCE_SECONDS = 0.1
"""If a call still waits after this time, it opens another thread. A call waits so long behind pictures that are
decoded, not behind quick loads."""


class ThreadBatcher:
    """Runs blocking calls in at most `most` threads.

    A caller that finds no thread at work makes a trip to a thread. The trip also runs the calls that wait when it
    begins or that come while it lasts. When the caller's own call is done, the caller wakes a call that still waits.
    """

    def __init__(self, most: int = THREADS) -> None:
        self._most = most
        self._leading = 0
        self._waiting: deque[_Call] = deque()

    async def run(self, function: Callable[[Unpack[A]], T], *arguments: *A) -> T:
        """Returns the function's result, or raises the function's error.

        A call that has begun runs to its end, even if its caller is cancelled.
        """
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
        """Runs waiting calls for BATCH_SECONDS and adds them to `taken`. Blocking."""
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
        """Wakes the first waiting call, so that its caller makes a trip."""
        if self._leading < self._most:
            first = next((call for call in list(self._waiting) if not call.dropped), None)
            if first is not None:
                first.news.set()


class _Call:
    """One call. `begun`: a thread has begun the call. `done`: the loop knows that the call has ended. `dropped`: no
    caller waits for the call any more. `news`: set when the caller has something to do."""

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
        """Returns the function's result, or raises the function's error."""
        if self._error is not None:
            error, self._error = self._error, None
            try:
                raise error
            finally:
                del error
        return self._value
