"""A limit that is counted by the minute: seen when nothing at all is taken any more, kept by never reaching it."""

from __future__ import annotations

import math

from pipeline.dispatch.sends import MINUTE, SECOND, Sent

WALL = 5
"""Refusals in a row, nothing taken for a second: chance of 10 % makes one such row in 100,000."""
SLOW = 5.0
"""Starts per second after such a row, until a second is over or a request is taken."""
LEAST = 20
"""Requests in the minute before: fewer are no quota."""
PROBE = 0.5
"""Starts per second while nothing is taken: the minute's end is seen within two seconds."""
TRICKLE = 0.2
"""Of the even rate, while the minute is full: the next start waits for at most five places to become free."""
BELOW = 0.01
"""Of the limit, as a margin: requests arrive up to 10 ms after they start."""
NEAR = 0.97
"""Of the limit: a refusal from here on is the minute's."""
RAISE = 0.05
"""A limit that was not touched for two minutes is tried so much higher, then twice as much: a try costs refusals."""


class Minute:
    """The limit of a minute, if the service has one. `limit` is infinite until a wall shows it: what was taken in the
    minute before. A wall that ends before any request left the minute shows a fixed minute that has turned. A wall of
    requests that say the service is busy, and nothing of a quota, is an outage: `down`. `row`: refusals since the last
    request that was taken.
    """

    def __init__(self) -> None:
        self.limit = math.inf
        self.fell = self.down = False
        self._allowed = math.inf
        self._walled = False
        self.row = 0
        self._row_from = 0.0
        self._paused_until = 0.0
        self._raise = RAISE
        self._raised_at = 0.0

    def expect(self, limit: float) -> None:
        """The limit is known from before."""
        self.limit = self._allowed = limit

    def paused(self, until: float) -> None:
        """The service asked for a pause until then."""
        self._paused_until = until

    def taken(self, in_minute: float) -> bool:
        """A request was taken, after so many in the minute. True where the service's own minute has turned."""
        turned = self._walled and in_minute >= self.limit
        self._walled, self.row = False, 0
        if not math.isinf(self.limit):
            self.limit = max(self.limit, 0.0 if turned else in_minute)
        return turned

    def refused(self, sent: Sent, in_minute: float, in_second: float) -> bool:
        """Requests were refused. True where the minute is why, or an outage that looks like one; `fell` where that has
        just been found out."""
        self.fell = self.down = False
        if self._walled:
            return True
        if in_minute >= NEAR * self.limit:
            self._read(sent.at, in_minute)
            return True
        if not self.row:
            self._row_from = sent.at
        self.row += sent.refused
        silent = sent.at - self._row_from >= SECOND and in_second < 1
        if self.row < WALL or not (silent or self._paused_until > sent.at + 2 * SECOND):
            return False
        if sent.busy:
            self.fell = self.down = True
        elif in_minute > LEAST:
            self._read(sent.at, in_minute)
            self._walled = self.fell = True
        return self.fell

    def rate(self, now: float, in_minute: float) -> float:
        """Starts per second: what is left of the minute is used up within a second. in_minute: what was taken and may
        yet be taken."""
        if self.row >= WALL and not self._walled:
            return SLOW
        if math.isinf(self.limit):
            return math.inf
        if self._walled:
            return PROBE
        allowed = self._allowed * (1 - BELOW)
        if now - self._raised_at >= 2 * MINUTE and in_minute >= NEAR * allowed:
            self._allowed *= 1 + self._raise
            self._raise, self._raised_at = 2 * self._raise, now
        even = self._allowed / MINUTE
        return max(PROBE, TRICKLE * even, min(even, (allowed - in_minute) / SECOND))

    def _read(self, now: float, in_minute: float) -> None:
        self.limit = self._allowed = in_minute
        self._raise, self._raised_at = RAISE, now
