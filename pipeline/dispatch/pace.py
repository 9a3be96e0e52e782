"""The rate in force for one account: cut, trimmed and grown again around what the service bears."""

from __future__ import annotations

CUT = 0.97
TRIM = 0.98
SUSPICION = 0.9
NOISE_SHARE = 0.02
NOISE_SECONDS = 60.0
NEAR_PER_ANSWER = 0.02 / 150
FAR_PER_ANSWER = 0.01
NEAR_PER_SECOND = 0.01
FAR_PER_SECOND = 0.05


class Pace:
    """Starts per second; `rate` None is unlimited, `ceiling` the user's or the service's own figure.

    After a cut the rate grows only while it is what holds us back: 5 % a second far from the last limit seen, near it
    so slowly that the limit is touched about once in 150 answers; each touch trims 2 %. Refusals that stay when the
    rate is 10 % lower are not about the rate: they are noise, the rate is restored, and noise is ignored for a minute.
    """

    def __init__(self, ceiling: float | None) -> None:
        self.ceiling = ceiling
        self.rate = ceiling
        self.noise = 0.0
        self._peak: float | None = None
        self._before: float | None = None
        self._suspect = False
        self._share = 0.0
        self._since_trim = 0
        self._trimmed_at = float("-inf")
        self._grown_at: float | None = None
        self._noise_until = float("-inf")

    def cap(self, ceiling: float) -> None:
        """The service names its limit: it is a ceiling from now on."""
        self.ceiling = ceiling if self.ceiling is None else min(self.ceiling, ceiling)
        self.rate = self.ceiling if self.rate is None else min(self.rate, self.ceiling)

    def refused(self) -> None:
        """Counts a refusal into the share of refusals."""
        self._share += (1.0 - self._share) * 0.01

    def cut(self, now: float, taken: float) -> None:
        """An episode; the service took `taken` per second while refusing the rest."""
        found = self.rate is not None
        rate = min(taken * CUT, self.rate or taken) if taken > 0 else (self.rate or 2.0) / 2
        self._peak = rate / CUT if found and taken > 0 else None
        self.rate = max(rate, 1 / 60)
        self._trimmed_at = self._grown_at = now
        self._suspect = False
        self._share = 0.0

    def trim(self, now: float, seen: float, span: float) -> None:
        """A lone refusal; `seen` is the rate of late. At most one trim in `span` seconds."""
        if now < self._noise_until and self._share <= 2 * self.noise + NOISE_SHARE:
            return
        if now - self._trimmed_at < span or (self.rate is None and self._share < NOISE_SHARE):
            return
        if not self._suspect:
            self._suspect, self._before = True, self.rate
            self._peak = self.rate or seen
        self.rate = self.rate * TRIM if self.rate is not None else seen * SUSPICION
        self._trimmed_at = self._grown_at = now
        self._since_trim = 0

    def answered(self, now: float, latency: float, *, bound: bool) -> None:
        """Counts an answer, and grows if the rate is what holds the queue back."""
        self._share -= self._share * 0.01
        self._since_trim += 1
        if self._suspect:
            self._judge(now)
        if self.rate is None or self.rate == self.ceiling:
            return
        elapsed = now - (self._grown_at if self._grown_at is not None else now)
        self._grown_at = now
        if bound:
            slower = max(1.0, latency)
            if self._peak is not None and 0.9 * self._peak <= self.rate <= 1.05 * self._peak:
                growth = min(NEAR_PER_ANSWER, NEAR_PER_SECOND / slower * elapsed)
            else:
                growth = min(FAR_PER_ANSWER, FAR_PER_SECOND / slower * elapsed)
            self.rate *= 1 + growth
            if self.ceiling is not None:
                self.rate = min(self.rate, self.ceiling)

    def _judge(self, now: float) -> None:
        """Did the trims help? Only an answer to requests sent long enough after them can tell."""
        if self._since_trim < 100:
            return
        assert self._peak is not None
        if self._share < NOISE_SHARE / 2:
            self._suspect = False
        elif self.rate is not None and self.rate <= SUSPICION * self._peak and self._since_trim >= 150:
            self.noise = self._share
            self._noise_until = now + NOISE_SECONDS
            self.rate = self._before
            self._suspect = False
