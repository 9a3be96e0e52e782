"""Quotas as the services count them: requests in any 60 s and in any second, tokens in any 60 s."""

from __future__ import annotations

from collections import deque
from math import ceil

from pipeline.offline.error_replies import Refusal

_MINUTE = 60.0


class Window:
    """Amounts over the last `seconds`; `fits` says whether one more stays within the limit."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit = limit
        self.seconds = seconds
        self._events: deque[tuple[float, int]] = deque()
        self._sum = 0

    def fits(self, now: float, amount: int) -> bool:
        while self._events and self._events[0][0] <= now - self.seconds:
            self._sum -= self._events.popleft()[1]
        return self._sum + amount <= self.limit

    def add(self, now: float, amount: int) -> None:
        self._events.append((now, amount))
        self._sum += amount

    @property
    def left(self) -> int:
        return max(0, self.limit - self._sum)


class Quota:
    """Admits or refuses; a refused request is not counted. Tokens are counted when the answer is known."""

    def __init__(self, rpm: int | None, tpm: int | None, *, per_second: bool) -> None:
        self.requests: list[Window] = []
        if rpm is not None:
            self.requests.append(Window(rpm, _MINUTE))
            if per_second:
                self.requests.append(Window(max(1, ceil(rpm / 60)), 1.0))
        self.tokens = None if tpm is None else Window(tpm, _MINUTE)

    def admit(self, now: float) -> None:
        """Raises Refusal of kind `rate` or `token-rate`."""
        if not all(window.fits(now, 1) for window in self.requests):
            raise Refusal("rate")
        if self.tokens is not None and not self.tokens.fits(now, 1):
            raise Refusal("token-rate")
        for window in self.requests:
            window.add(now, 1)

    def settle(self, now: float, tokens: int) -> None:
        if self.tokens is not None:
            self.tokens.add(now, tokens)
