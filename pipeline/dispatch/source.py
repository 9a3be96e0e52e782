"""Where the pool takes its rows from: an iterator, or something that reads ahead of it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import Generic, Literal, Protocol, TypeVar

T = TypeVar("T")
Read = TypeVar("Read", covariant=True)


class Mark(Enum):
    """What a source has instead of a row: `NOT_READY`, it is being read; `END`, there are no more."""

    NOT_READY = auto()
    END = auto()


NOT_READY: Literal[Mark.NOT_READY] = Mark.NOT_READY
END: Literal[Mark.END] = Mark.END


class Source(Protocol[Read]):
    """Rows that are read elsewhere, so that no read blocks the loop."""

    def poll(self) -> Read | Mark:
        """The next row, without waiting. Raises what reading raised, once the rows before it are taken."""
        ...

    async def wait(self) -> None:
        """Until `poll` may have something else to say than `NOT_READY`."""
        ...


class Inline(Generic[T]):
    """A plain iterator as a source: its `next` is called in the loop's thread, and must be quick."""

    def __init__(self, rows: Iterator[T]) -> None:
        self._rows = rows

    def poll(self) -> T | Mark:
        """As `Source.poll`; never `NOT_READY`."""
        return next(self._rows, END)

    async def wait(self) -> None:
        """As `Source.wait`; never needed."""
