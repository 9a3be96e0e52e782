"""Services that count in different ways, in virtual time. A refused request is not counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

Quota = Callable[[float], float]
"""Units per second at a time."""
PHASE = 23.0
"""Seconds into a fixed minute at which a run begins."""


class Service(Protocol):
    """Whether a request of `size` units that arrives at `now` is taken. `served`: requests that it works on."""

    served: int

    def takes(self, now: float, size: float) -> bool: ...

    def wait(self, now: float) -> float:
        """Seconds that it asks a refused request to wait, where the scenario sends them."""
        ...


class Sliding:
    """So many requests in any `seconds`."""

    def __init__(self, quota: Quota, seconds: float = 1.0) -> None:
        self.served = 0
        self._quota, self._seconds = quota, seconds
        self._taken: deque[float] = deque()

    def takes(self, now: float, size: float) -> bool:
        taken = self._taken
        while taken and taken[0] <= now - self._seconds:
            taken.popleft()
        if len(taken) >= self._quota(now) * self._seconds:
            return False
        taken.append(now)
        return True

    def wait(self, now: float) -> float:
        return max(0.0, self._taken[0] + self._seconds - now)


class Fixed:
    """So many requests in each window of `seconds` by the clock."""

    def __init__(self, quota: Quota, seconds: float = 60.0) -> None:
        self.served = 0
        self._quota, self._seconds = quota, seconds
        self._window, self._taken = -1, 0

    def takes(self, now: float, size: float) -> bool:
        window = int((now + PHASE) // self._seconds)
        if window != self._window:
            self._window, self._taken = window, 0
        if self._taken >= self._quota(now) * self._seconds:
            return False
        self._taken += 1
        return True

    def wait(self, now: float) -> float:
        return self._seconds - (now + PHASE) % self._seconds


class Bucket:
    """A bucket of `burst` units that fills with the quota."""

    def __init__(self, quota: Quota, burst: float) -> None:
        self.served = 0
        self._quota, self._burst = quota, burst
        self._level, self._at = burst, 0.0

    def takes(self, now: float, size: float) -> bool:
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self._quota(now))
        self._at = max(self._at, now)
        if self._level < size:
            return False
        self._level -= size
        return True

    def wait(self, now: float) -> float:
        return 1.0


class Slots:
    """So many requests at once. `queues`: it takes more, and answers the slower."""

    def __init__(self, count: int, *, queues: bool = False) -> None:
        self.served = 0
        self.count, self.queues = count, queues

    def takes(self, now: float, size: float) -> bool:
        return self.queues or self.served < self.count

    def wait(self, now: float) -> float:
        return 1.0


class Free:
    """Takes everything."""

    served = 0

    def takes(self, now: float, size: float) -> bool:
        return True

    def wait(self, now: float) -> float:
        return 1.0
