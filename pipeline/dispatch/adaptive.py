"""Finds the rate and the concurrency that a service bears, from what it answers."""

from __future__ import annotations

from collections import deque
from itertools import takewhile
from typing import Literal

from pipeline.dispatch.pace import Pace

MOST_CONCURRENCY = 1024
FIRST_CONCURRENCY = 8
PACED_SECONDS = 10.0
"""A rate that the user gives paces the starts: enough concurrency for answers that take as long is harmless."""
RAMP_START = 16
RAMP_SECONDS = 1.0
RAMP_LEAST = 256
"""Slots a second at the least: a concurrency of 64 is no storm, and is there after a fifth of a second."""
LONGEST_SPAN = 60.0
EPISODE_COUNT = 1.75
EPISODE_SHARE = 0.1
"""More refusals than a tenth of the starts, by a margin that shrinks as they become many: noise of 5 % makes an episode
by chance in one run of 3,000 rows out of several hundred (without the root: one of thirty)."""

Verdict = Literal["old", "lone", "episode"]


class Adaptive:
    """Rate and concurrency in force for one account.

    A concurrency that the user names is reached by a ramp of a second at most; an unnamed one starts at 8 and grows by
    one for each answer while it is what holds us back (doubling in a round trip, at an even pace), until throttling or
    a latency that doubles says that more only queues. The rate is unlimited, or the user's, until throttling shows a
    limit; then `Pace` looks for it. One episode of throttling makes one cut, however many refusals it brings: a
    refusal of a request that was sent before the last cut says nothing new.
    """

    def __init__(self, ceiling: float | None, concurrency: int | None) -> None:
        self.pace = Pace(ceiling)
        self.cuts = 0
        self._named = concurrency is not None
        self._top = concurrency or MOST_CONCURRENCY
        paced = FIRST_CONCURRENCY + (ceiling or 0.0) * PACED_SECONDS
        self._limit = float(self._top if self._named else min(paced, self._top))
        self._doubling = not self._named
        self._ramp_from: float | None = None
        self._cut_at = float("-inf")
        self._hold_until = 0.0
        self._since = 0.0
        self._sent: deque[float] = deque()
        self._refused: deque[float] = deque()
        self._latency = 0.0
        self._refused_at = 0.0
        self._refusal_takes = 0.0
        self._rounds = _Rounds()

    def limit(self, now: float) -> int:
        """The concurrency in force."""
        if not self._named:
            return self._found()
        if self._ramp_from is None:
            return min(self._top, RAMP_START)
        grown = RAMP_START + max(self._top, RAMP_LEAST) * max(0.0, now - self._ramp_from) / RAMP_SECONDS
        return min(self._top, int(grown))

    def ramp(self, now: float) -> float:
        """Seconds until `limit` has grown by itself; infinite when it does not."""
        return RAMP_SECONDS / 20 if self.limit(now) < self._top and self._named else float("inf")

    def began(self, now: float) -> None:
        """An attempt starts."""
        if self._ramp_from is None:
            self._ramp_from = self._since = now
        self._sent.append(now)
        if self.pace.found is None:
            self.pace.start.began(now)
        if self._sent[0] < now - self._span:
            self._forget(now)

    def resumed(self, at: float) -> None:
        """The account is paused until `at`: begin gently again then."""
        self._ramp_from = self._since = at
        if not self._named:
            self._limit = max(1.0, self._limit / 2)

    def answered(self, now: float, started: float, *, slot_bound: bool, rate_bound: bool) -> None:
        """The service took a request. The flags say what held the queue back."""
        latency = now - started
        self._latency += (latency - self._latency) * (0.1 if self._latency else 1.0)
        self.pace.answered(now, started, self._latency, bound=rate_bound)
        if self._named:
            return
        crowded = self._rounds.crowded(latency, self._limit)
        if crowded == "much":
            self._limit = max(4.0, self._limit * 0.85)
        if crowded:
            self._settled()
        elif self._doubling and (slot_bound or rate_bound) and now >= self._hold_until:
            self._double()
        elif slot_bound and now >= self._hold_until:
            self._limit = min(self._top, self._limit + 1.0 / self._limit)

    def throttled(self, now: float, started: float) -> Verdict:
        """The service refused a request for its rate."""
        if started <= self._cut_at:
            return "old"
        if not self._refused:
            self._refused_at = started
        self._refused.append(started)
        self._refusal_takes += (now - started - self._refusal_takes) * (0.2 if self._refusal_takes else 1.0)
        self._forget(now)
        told = self._told(now)
        expected = max(EPISODE_SHARE, 2 * self.pace.noise_at(now)) * told
        if len(self._refused) >= EPISODE_COUNT + expected + 1.5 * expected**0.5:
            self._cut(now, told)
            return "episode"
        if now >= self.pace.noise_until:
            self._hold_until = now + self._latency
        if self.pace.start.set_back(now, started, rare=self.pace.rare):
            self.pace.count_refused()
            if self.pace.start.limit is not None:
                self.pace.settle(now, self.pace.start.limit)
                self._settled()
        elif self.pace.found is not None or now - self._since >= 2 * self._span:
            self.pace.refused(now, started, self._rate_seen(now))
        return "lone"

    def _found(self) -> int:
        """The limit found, but never so low that it would hold back the rate in force."""
        rate, best = self.pace.found, self._rounds.best
        if rate is None or best is None:
            return int(self._limit)
        return min(self._top, max(int(self._limit), int(rate * best * 1.5) + 4))

    def _double(self) -> None:
        """One more slot for an answer: twice as many in a round trip."""
        self._limit += 1.0
        if self._limit < self._top:
            self.pace.start.grow(self._limit, self._latency)
        else:
            self._limit = float(self._top)
            self._settled()

    def _settled(self) -> None:
        """The slow start is over."""
        self._doubling = False
        self.pace.start.end()

    @property
    def _span(self) -> float:
        return min(LONGEST_SPAN, max(1.0, 2 * self._latency, 2 * self._refusal_takes))

    def _forget(self, now: float) -> None:
        oldest = now - self._span
        for times in (self._sent, self._refused):
            while times and times[0] < oldest:
                times.popleft()

    def _rate_seen(self, now: float) -> float:
        """Attempts per second of late; of less than a second, as if it had been one: services that count by the second
        grant a whole second's worth at once."""
        return len(self._sent) / self._seconds(now)

    def _seconds(self, now: float) -> float:
        return min(self._span, max(1.0, now - self._since))

    def _told(self, now: float) -> int:
        """How many of the attempts of late were sent long enough ago that a refusal would be back."""
        since = now - self._refusal_takes
        return len(self._sent) - sum(1 for _ in takewhile(lambda at: at > since, reversed(self._sent)))

    def _cut(self, now: float, told: int) -> None:
        taken = max(0, told - len(self._refused)) / self._seconds(now - self._refusal_takes)
        sure = now - max(self._since, self.pace.paced_since) >= 2 * self._span
        before = self.pace.start.rate_before(self._refused_at) if self.pace.found is None else None
        if before and before >= taken:
            taken, sure = before, True
        self.cuts += 1
        self._cut_at = self._since = now
        self._sent.clear()
        self._refused.clear()
        self._settled()
        self.pace.cut(now, taken, sure=sure)
        if not self._named:
            self._limit = max(1.0, self._limit / 2)


class _Rounds:
    """Latency by rounds of as many answers as are in flight, against the best round so far (which fades slowly)."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0.0
        self.best: float | None = None
        self._state: Literal["", "yes", "much"] = ""

    def crowded(self, latency: float, limit: float) -> Literal["", "yes", "much"]:
        """`yes` when answers take twice as long as in the best round, `much` once at the end of a round over three."""
        self._count += 1
        self._sum += latency
        if self._count < max(16.0, limit):
            return "yes" if self._state else ""
        mean = self._sum / self._count
        self.best = mean if self.best is None else min(self.best * 1.02, mean)
        self._count, self._sum = 0, 0.0
        self._state = "much" if mean > 3 * self.best else "yes" if mean > 2 * self.best else ""
        return self._state
