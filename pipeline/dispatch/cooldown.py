"""The pause of a whole account: if the service asks for a pause, in an episode of throttling, or in an outage."""

from __future__ import annotations

import random

BASE_SECONDS = 1.0
"""The shortest pause that is chosen here. After this time, a service that counts by the second counts anew."""
CAP_SECONDS = 60.0
RESET_CAP_SECONDS = 3600.0
OUTAGE_FAULTS = 5
"""Consecutive transient faults that make an outage. If 5 % of the requests fail by chance, five faults in a row come 3
times in 10^7."""


class Cooldown:
    """The pause of all attempts of an account.

    `until` is on the pipeline's clock. `count` counts all pauses. `streak` counts the pauses of `back_off` with no
    answer between them. Each of these pauses is twice the last, plus a jitter of up to a half, and at most 60 s long.
    Faults of requests that started before the last pause are part of the episode that caused this pause.
    """

    def __init__(self, rng: random.Random) -> None:
        self.until = float("-inf")
        self.count = 0
        self.streak = 0
        self._began = float("-inf")
        self._held_at = float("-inf")
        self._in_a_row = 0
        self._answered_at = float("-inf")
        self._rng = rng

    def wait(self, now: float) -> float:
        """Returns the seconds for which no request may start."""
        return max(0.0, self.until - now)

    def pause(self, now: float, seconds: float, started: float) -> bool:
        """Pauses for `seconds`, because the service asked a request that started at `started` to wait. Returns True for
        a new pause."""
        self.until = max(self.until, now + seconds)
        if started < self._began:
            return False
        self._begin(now)
        return True

    def pause_until_reset(self, now: float, seconds: float, started: float) -> bool:
        """Holds all starts for `seconds`. The service answered a request that started at `started` and said that its
        quota is used up for so long.

        Returns True for a new hold. Requests that were in flight when a hold began report the same, and are ignored. An
        answer is no fault, so no pause is counted. A hold is at most an hour: the next refusal gives the rest.
        """
        if started < max(self._held_at, self._began):
            return False
        self.until = max(self.until, now + min(seconds, RESET_CAP_SECONDS))
        self._held_at = now
        return True

    def back_off(self, now: float) -> None:
        """Pauses for a time that is chosen here, in an episode of throttling or in an outage."""
        self.streak += 1
        seconds = min(CAP_SECONDS / 1.5, BASE_SECONDS * 2.0 ** min(self.streak - 1, 10))
        self.until = max(self.until, now + seconds * self._rng.uniform(1.0, 1.5))
        self._begin(now)

    def on_success(self, now: float, started: float) -> None:
        """Counts an answer to a request that started at `started`."""
        self._in_a_row = 0
        self._answered_at = now
        if started >= self._began:
            self.streak = 0

    def failed(self, now: float, started: float) -> bool:
        """Counts a transient fault. Returns True if the fault makes an outage, which pauses the account. After a pause,
        each fault makes an outage, until a request is answered.

        A request that was in flight when another request was answered does not count. At the end of a run, the requests
        that hang come last, and are no outage.
        """
        if started < max(self._began, self._answered_at):
            return False
        self._in_a_row += 1
        if self._in_a_row < (1 if self.streak else OUTAGE_FAULTS):
            return False
        self.back_off(now)
        return True

    def _begin(self, now: float) -> None:
        self.count += 1
        self._began = now
        self._in_a_row = 0
