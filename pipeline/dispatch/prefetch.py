"""The sources of a pool's rows: an iterator, or a thread that reads ahead of the pool."""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum, auto
from types import TracebackType
from typing import Generic, Literal, Protocol, TypeVar

import anyio.to_thread

from pipeline.dispatch.descriptors import patiently

T = TypeVar("T")
Read = TypeVar("Read", covariant=True)


class Mark(Enum):
    """A value in place of a row. NOT_READY: the next row is still being read. END: there are no more rows."""

    NOT_READY = auto()
    END = auto()


NOT_READY: Literal[Mark.NOT_READY] = Mark.NOT_READY
END: Literal[Mark.END] = Mark.END


class Source(Protocol[Read]):
    """A source of rows that are read elsewhere, so that no read blocks the loop."""

    def poll(self) -> Read | Mark:
        """Returns the next row without waiting. Raises an error of the reader after the rows that were read before the
        error."""
        ...

    async def wait(self) -> None:
        """Waits until `poll` may return something other than NOT_READY."""
        ...


class Inline(Generic[T]):
    """A plain iterator as a source: its `next` is called in the loop's thread, and must be quick."""

    def __init__(self, rows: Iterator[T]) -> None:
        self._rows = rows

    def poll(self) -> T | Mark:
        """Does the same as `Source.poll`. Never returns `NOT_READY`."""
        return next(self._rows, END)

    async def wait(self) -> None:
        """Does nothing, because `poll` never returns `NOT_READY`."""


MOST_ROWS = 512
"""Most rows that are read and not yet taken: a quarter of a second at the fastest rate."""

STEP_SECONDS = 0.05
"""If rows to send are rare, the rows found so far are handed over after this time."""


class Prefetcher(Generic[T]):
    """A source for the pool. `read` runs in a task beside the pool, as long as the block lasts.

    source: called with a function that tells whether to continue; returns the rows. While `source` finds no row, it
    must call this function now and then, because the end of the block waits for the thread.
    """

    def __init__(self, source: Callable[[Callable[[], bool]], Iterator[T]], most: int = MOST_ROWS) -> None:
        self._rows: deque[T] = deque()
        self._most = most
        self._few = most // 2
        self._should_continue = True
        self._source = source(lambda: self._should_continue)
        self._ended = False
        self._error: Exception | None = None
        self._filled = anyio.Event()
        self._wanted = anyio.Event()

    def __enter__(self) -> Prefetcher[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._should_continue = False

    def poll(self) -> T | Mark:
        """Does the same as `Source.poll`."""
        if self._rows:
            row = self._rows.popleft()
            if len(self._rows) == self._few:
                self._wanted.set()
            return row
        if self._error is not None:
            raise self._error
        return END if self._ended else NOT_READY

    async def wait(self) -> None:
        """Does the same as `Source.wait`."""
        await self._filled.wait()

    async def read(self) -> None:
        """Reads up to `most` rows ahead, and returns when the rows end. `poll` raises an error of the reader."""
        one = anyio.CapacityLimiter(1)
        while not self._ended and self._should_continue:
            most = self._most - len(self._rows)
            read = functools.partial(anyio.to_thread.run_sync, self._some, most, limiter=one)
            some, ended, error = await patiently(read)
            self._rows.extend(some)
            self._ended, self._error = ended, error
            self._filled.set()
            if not self._ended:
                self._filled = anyio.Event()
            if len(self._rows) > self._few:
                self._wanted = anyio.Event()
                await self._wanted.wait()

    def _some(self, most: int) -> tuple[list[T], bool, Exception | None]:
        """Reads rows, and blocks. Returns the rows, whether the rows have ended, and the error that ended them.

        Does not change the attributes, because the end must not be visible before the last rows.
        """
        rows: list[T] = []
        due = time.monotonic() + STEP_SECONDS
        try:
            for row in self._source:
                rows.append(row)
                if len(rows) >= most or time.monotonic() >= due:
                    return rows, False, None
        except Exception as error:
            return rows, True, error
        return rows, True, None
