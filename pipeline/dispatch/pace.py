"""The rate in force for one account: cut, trimmed and grown again around what the service bears."""

from __future__ import annotations

from pipeline.dispatch.start import Start

CUT = 0.95
TRIM = 0.98
SUSPICION = 0.8
NOISE_SHARE = 0.02
MOST_NOISE = 0.15
"""More than this is not ignored, whatever its cause: a limit that somebody else uses too looks the same for a while."""
NOISE_SECONDS = 60.0
TRIAL = 150
FAST_TRIMS = 3
FAST_ANSWERS = 60
DOUBT = 0.75
"""So many trims, each within so many answers, do not help: a quarter lower at once shows whether it is the rate. Step
by step, noise of 10 % under a quota of 50 a second could hold the rate at a twentieth of it for minutes."""
ALIKE = 0.4
"""Refusals of a limit, at most a tenth of the starts or they were an episode, end a fifth lower. Chance alone makes
noise of 5 % look like less than this in one trial of fifty."""
FORGOTTEN = 1.0
"""Seconds until a service that counts by the second no longer counts what was sent at the higher rate."""
SLOWEST = 1 / 60


class Pace:
    """Starts per second; `found` None is unlimited, `ceiling` the user's or the service's own figure.

    After a cut the rate grows only while it is what holds us back: a quarter each second where no limit has been seen
    yet, 15 % far below the last limit seen, 5 % above it, and near it so slowly that the limit is touched at most once
    in 150 answers; a touch trims 2 %, once per round trip. Refusals that stay when the rate is a fifth lower, or a
    quarter where they come thick and fast, are not about the rate: they are noise, the rate is restored, and as many of
    them are ignored for a minute, in which the rate doubles each second as in a slow start.
    """

    def __init__(self, ceiling: float | None) -> None:
        self._ceiling = ceiling
        self.found = ceiling
        self.start = Start()
        self.noise = 0.0
        self.paced_since = float("-inf") if ceiling is not None else float("inf")
        self._peak: float | None = None
        self._share = 0.0
        self._seen = 0
        self.noise_until = float("-inf")
        self._trimmed_at = float("-inf")
        self._grown_at = 0.0
        self._trial: _Trial | None = None

    @property
    def rate(self) -> float | None:
        """Starts per second in force: as found, or that of the slow start."""
        return self.found if self.found is not None else self.start.rate

    @rate.setter
    def rate(self, rate: float | None) -> None:
        self.found = rate

    @property
    def ceiling(self) -> float | None:
        """What the rate never passes."""
        return self._ceiling

    @ceiling.setter
    def ceiling(self, ceiling: float | None) -> None:
        """The service names its limit: there is nothing to start slowly for."""
        self._ceiling = ceiling
        if ceiling is not None:
            self.found = ceiling if self.found is None else min(self.found, ceiling)

    def noise_at(self, now: float) -> float:
        """The share of refusals that is not about the rate, as far as is known."""
        return self.noise if now < self.noise_until else 0.0

    def cut(self, now: float, taken: float, *, sure: bool) -> None:
        """An episode; the service took `taken` per second while refusing the rest. `sure`: measured long enough to be
        taken for its limit. A rate in force is at most halved."""
        before = self.found
        rate = taken * CUT
        if before is None:
            self._peak = taken if sure and taken > 0 else None
        else:
            self._peak = taken if sure and taken > 0 else before
            rate = min(before, max(rate, before / 2))
        if self.found is None:
            self.paced_since = now
        self.found = max(rate, SLOWEST)
        self._trimmed_at = self._grown_at = now
        self._trial = None
        self._share = 0.0

    @property
    def rare(self) -> bool:
        """Refusals have been few of late."""
        return self._share < NOISE_SHARE

    def count_refused(self) -> None:
        """A refusal that asks for nothing but to be counted."""
        self._share += (1.0 - self._share) * 0.01
        self._seen += 1

    def settle(self, now: float, limit: float) -> None:
        """The slow start met its limit without an episode."""
        self.found = self._peak = limit
        self.paced_since = self._grown_at = now
        self._trim(now, limit)

    def refused(self, now: float, started: float, seen: float) -> None:
        """A lone refusal of a request sent at `started`; `seen` is the rate of late."""
        self.count_refused()
        if self._trial is not None and self._trial.note(started, refused=True):
            self._judge(now)
            return
        if self._trial is not None and self._trial.since is not None:
            return
        if started <= self._trimmed_at or (now < self.noise_until and self._share <= 1.5 * self.noise + NOISE_SHARE):
            return
        if self.found is None and (self._share < NOISE_SHARE or self._seen < TRIAL):
            return
        self._trim(now, seen)

    def answered(self, now: float, started: float, latency: float, *, bound: bool) -> None:
        """An answer to a request sent at `started`; grows if the rate is what holds the queue back (`bound`)."""
        self._share -= self._share * 0.01
        self._seen += 1
        if self._trial is not None and self._trial.note(started, refused=False):
            self._judge(now)
        elapsed, self._grown_at = now - self._grown_at, now
        if self.found is None or not bound or (self._trial is not None and self._trial.since is not None):
            return
        per_answer, per_second = self._growth(self.found, noisy=now < self.noise_until)
        self.found *= 1 + min(per_answer, per_second * elapsed / max(1.0, latency))
        if self._ceiling is not None:
            self.found = min(self.found, self._ceiling)

    def _growth(self, rate: float, *, noisy: bool) -> tuple[float, float]:
        """The most that the rate may grow by: per answer, per second. `noisy`: what slowed it down was no limit."""
        if self._peak is None:
            return (0.05, 0.7) if noisy else (0.05, 0.25)
        if rate < 0.94 * self._peak:
            return 0.02, 0.15
        if rate <= 1.05 * self._peak:
            return 0.02 / 150, 0.003
        return 0.01, 0.05

    def _trim(self, now: float, seen: float) -> None:
        if self._trial is None or self._trial.peak < (self.found or seen):
            self._trial = _Trial(self.found, self.found or seen)
            if self.found is None:
                self._trial.ahead = [round(TRIAL * (1 - self._share)), round(TRIAL * self._share)]
        self._peak = self.found
        if self.found is None:
            self.paced_since = now
        self.found = max(SLOWEST, self.found * TRIM if self.found is not None else seen * SUSPICION)
        self._trimmed_at = now
        if self._trial.trimmed():
            self.found = max(SLOWEST, min(self.found, DOUBT * self._trial.peak))
        if self.found <= SUSPICION * self._trial.peak:
            self._trial.since = now + FORGOTTEN

    def _judge(self, now: float) -> None:
        """A fifth below where refusals began: have they stopped?"""
        trial = self._trial
        assert trial is not None
        before = trial.ahead[1] / max(1, sum(trial.ahead))
        share = trial.after[1] / sum(trial.after)
        alike = trial.after[1] >= TRIAL * max(NOISE_SHARE, ALIKE * before) and share <= MOST_NOISE
        if sum(trial.after) < TRIAL and not alike:
            return
        if share < NOISE_SHARE:
            self._trial = None
        elif alike:
            self._trial = None
            self.noise = share
            self.noise_until = now + NOISE_SECONDS
            self.found = trial.before
            self._peak = None
            self._seen = 0
        else:
            trial.go_on(self.found or trial.peak)


class _Trial:
    """Trims in a row, to see whether they help: `before` is the rate in force when they began, `peak` the real one.

    Answers and refusals are counted `ahead` of `since`, when a fifth below the peak is reached, and `after` it.
    """

    __slots__ = ("after", "ahead", "before", "peak", "since", "trims")

    def __init__(self, before: float | None, peak: float) -> None:
        self.before = before
        self.peak = peak
        self.since: float | None = None
        self.ahead = [0, 1]
        self.after = [0, 0]
        self.trims = 0

    def trimmed(self) -> bool:
        """Counts a trim. True if they come so fast that they do not help: a limit is touched once in 150 answers."""
        self.trims += 1
        return self.trims >= FAST_TRIMS and sum(self.ahead) < FAST_ANSWERS * self.trims

    def note(self, started: float, *, refused: bool) -> bool:
        """Counts one response; True if it belongs to the time a fifth below."""
        under_way = self.since is not None and started > self.since
        (self.after if under_way else self.ahead)[refused] += 1
        return under_way

    def go_on(self, peak: float) -> None:
        """They became fewer, but not few: another fifth."""
        self.peak = peak
        self.since = None
        self.ahead, self.after = self.after, [0, 0]
