"""Bounds what is prepared and not yet ended, in rows and in bytes."""

from __future__ import annotations

from collections import deque

import anyio


class MemoryLimit:
    """Rows enter before they are prepared and leave when they have ended.

    A row's bytes are known only afterwards, so that it enters for the mean of the last ones, and is settled. A row
    larger than the whole room enters alone.
    """

    def __init__(self, most_bytes: int) -> None:
        self.bytes = 0
        self.rows = 0
        self._most_bytes = most_bytes
        self._mean = 0.0
        self._queue: deque[anyio.Event] = deque()

    async def acquire(self) -> int:
        """Waits for room; the bytes taken for now."""
        while self.rows and self.bytes + self._mean > self._most_bytes:
            event = anyio.Event()
            self._queue.append(event)
            try:
                await event.wait()
            except BaseException:
                if event.is_set():
                    self._wake()
                else:
                    self._queue.remove(event)
                raise
        taken = round(self._mean)
        self.rows += 1
        self.bytes += taken
        return taken

    def settle(self, taken: int, size: int) -> int:
        """The row is prepared: it holds `size` bytes. Returns what it has taken now."""
        self._mean += (size - self._mean) * (0.1 if self._mean else 1.0)
        self.bytes += size - taken
        if size < taken:
            self._wake()
        return size

    def release(self, taken: int) -> None:
        """The row has ended."""
        self.rows -= 1
        self.bytes -= taken
        self._wake()

    def _wake(self) -> None:
        if self._queue:
            self._queue.popleft().set()
