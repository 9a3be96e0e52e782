"""Finds the rate and the concurrency that a service bears, from what it answers."""

from __future__ import annotations

from collections import deque
from typing import Literal

from pipeline.dispatch.pace import Pace

MOST_CONCURRENCY = 1024
FIRST_CONCURRENCY = 8
RAMP_START = 16
RAMP_SECONDS = 1.0
EPISODE_COUNT = 3
EPISODE_SHARE = 0.1

Verdict = Literal["old", "lone", "episode"]


class Adaptive:
    """Rate and concurrency in force for one account.

    A concurrency that the user names is reached by a ramp of one second; an unnamed one starts at 8 and grows by one
    for each answer while it is what holds us back (doubling each round trip), until throttling or a latency that
    doubles says that more only queues. The rate is unlimited, or the user's, until throttling shows a limit; then
    `Pace` looks for it. One episode of throttling makes one cut, however many refusals it brings: a refusal of a
    request that was sent before the last cut says nothing new.
    """

    def __init__(self, ceiling: float | None, concurrency: int | None) -> None:
        self.pace = Pace(ceiling)
        self.cuts = 0
        self._named = concurrency is not None
        self._top = concurrency or MOST_CONCURRENCY
        self._limit = float(self._top if self._named else min(FIRST_CONCURRENCY, self._top))
        self._doubling = not self._named
        self._ramp_from: float | None = None
        self._cut_at = float("-inf")
        self._first: float | None = None
        self._recent: deque[tuple[float, bool]] = deque()
        self._refused = 0
        self._latency = 0.0
        self._rounds = _Rounds()

    def limit(self, now: float) -> int:
        """The concurrency in force."""
        if not self._named:
            return int(self._limit)
        if self._ramp_from is None:
            return min(self._top, RAMP_START)
        grown = RAMP_START + self._top * max(0.0, now - self._ramp_from) / RAMP_SECONDS
        return min(self._top, int(grown))

    def ramp(self, now: float) -> float:
        """Seconds until `limit` has grown by itself; infinite when it does not."""
        return RAMP_SECONDS / 20 if self.limit(now) < self._top and self._named else float("inf")

    def began(self, now: float) -> None:
        """An attempt starts."""
        if self._ramp_from is None:
            self._ramp_from = now
        if self._first is None:
            self._first = now

    def resumed(self, at: float) -> None:
        """The account is paused until `at`: begin gently again then."""
        self._ramp_from = at
        if not self._named:
            self._limit = max(1.0, self._limit / 2)

    def answered(self, now: float, started: float, *, slot_bound: bool, rate_bound: bool) -> None:
        """The service took a request. The flags say what held the queue back."""
        latency = now - started
        self._latency += (latency - self._latency) * (0.1 if self._latency else 1.0)
        self._note(now, refused=False)
        self.pace.answered(now, self._latency, bound=rate_bound)
        if self._named:
            return
        crowded = self._rounds.crowded(latency, self._limit)
        if crowded == "much":
            self._limit = max(4.0, self._limit * 0.85)
        if crowded:
            self._doubling = False
        elif slot_bound:
            self._limit = min(self._top, self._limit + (1.0 if self._doubling else 1.0 / self._limit))

    def throttled(self, now: float, started: float) -> Verdict:
        """The service refused a request for its rate."""
        if started <= self._cut_at:
            return "old"
        self._note(now, refused=True)
        self.pace.refused()
        share = self._refused / len(self._recent)
        if self._refused >= EPISODE_COUNT and share >= max(EPISODE_SHARE, 2 * self.pace.noise):
            self._cut(now)
            return "episode"
        self.pace.trim(now, self._rate_seen(now), self._span)
        self._doubling = False
        return "lone"

    @property
    def _span(self) -> float:
        return min(10.0, max(1.0, 2 * self._latency))

    def _note(self, now: float, *, refused: bool) -> None:
        self._recent.append((now, refused))
        self._refused += refused
        oldest = now - self._span
        while self._recent[0][0] < oldest:
            self._refused -= self._recent.popleft()[1]

    def _rate_seen(self, now: float) -> float:
        """Answers and refusals per second of late."""
        began = now if self._first is None else self._first + self._latency
        return len(self._recent) / min(self._span, max(0.25, now - began))

    def _cut(self, now: float) -> None:
        share = self._refused / len(self._recent)
        taken = self._rate_seen(now) * (1 - share)
        self.cuts += 1
        self._cut_at = now
        self._recent.clear()
        self._refused = 0
        self._doubling = False
        self.pace.cut(now, taken)
        if not self._named:
            fits = taken * self._latency * 1.5 + 2 if taken else self._limit / 2
            self._limit = max(1.0, min(self._limit, fits))


class _Rounds:
    """Latency by rounds of as many answers as are in flight, against the best round so far (which fades slowly)."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._best: float | None = None
        self._state: Literal["", "yes", "much"] = ""

    def crowded(self, latency: float, limit: float) -> Literal["", "yes", "much"]:
        """`yes` when answers take twice as long as in the best round, `much` once at the end of a round over three."""
        self._count += 1
        self._sum += latency
        if self._count < max(16.0, limit):
            return "yes" if self._state else ""
        mean = self._sum / self._count
        self._best = mean if self._best is None else min(self._best * 1.02, mean)
        self._count, self._sum = 0, 0.0
        self._state = "much" if mean > 3 * self._best else "yes" if mean > 2 * self._best else ""
        return self._state
