"""One pause for a whole account: when the service says so, in an episode of throttling, or in an outage."""

from __future__ import annotations

import random

BASE_SECONDS = 1.0
"""The least pause: a service that counts by the second has forgotten the refused ones' second after it."""
CAP_SECONDS = 60.0
RESET_CAP_SECONDS = 3600.0
OUTAGE_FAULTS = 5
"""Transient faults in a row, nothing else between them, that make an outage of bad luck (at 5 % each: 3 in 10^7)."""


class Cooldown:
    """What holds every sender of an account back.

    `until` is on the pipeline's clock. `streak` counts pauses without a sign of life between them; each doubles the
    next, up to 60 s, plus a jitter of up to a half. Faults of requests that started before the last pause belong to
    the episode which that pause answered.
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
        """Seconds for which nothing may start."""
        return max(0.0, self.until - now)

    def pause(self, now: float, seconds: float, started: float) -> bool:
        """The service asked for `seconds` in answer to a request that started at `started`. True for a new pause."""
        self.until = max(self.until, now + seconds)
        if started < self._began:
            return False
        self._begin(now)
        return True

    def pause_until_reset(self, now: float, seconds: float, started: float) -> bool:
        """The service took a request that started at `started` and said that it was the last one for `seconds`. True
        for a new hold: what was in flight when it began says the same, and is not asked. No fault, so no pause is
        counted; never longer than an hour, for the next refusal says what is left.
        """
        if started < max(self._held_at, self._began):
            return False
        self.until = max(self.until, now + min(seconds, RESET_CAP_SECONDS))
        self._held_at = now
        return True

    def back_off(self, now: float) -> None:
        """An episode or an outage: a pause of our own choosing."""
        self.streak += 1
        seconds = min(CAP_SECONDS / 1.5, BASE_SECONDS * 2.0 ** min(self.streak - 1, 10))
        self.until = max(self.until, now + seconds * self._rng.uniform(1.0, 1.5))
        self._begin(now)

    def on_success(self, now: float, started: float) -> None:
        """The service answered a request that started at `started`."""
        self._in_a_row = 0
        self._answered_at = now
        if started >= self._began:
            self.streak = 0

    def failed(self, now: float, started: float) -> bool:
        """A transient fault. True when it makes an outage, which pauses the account; while probing, each one does.

        A request that was under way when another was answered does not count: at the end of a run, what hangs comes
        last, and is no outage.
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
