"""A limit that a service counts by the minute. The limit shows when the service takes no request any more. A run keeps
the limit by never reaching it."""

from __future__ import annotations

import math

from pipeline.dispatch.sends import MINUTE, SECOND, Sent

WALL = 5
"""Consecutive refusals that make a wall, if the service takes no request for a second. If chance refuses 10 % of the
requests, five consecutive refusals come once in 100,000."""
SLOW = 5.0
"""Starts per second after so many consecutive refusals, until a second is over or a request is taken."""
LEAST = 20
"""Requests in the minute before a wall. If there are no more than these, the wall shows no quota."""
PROBE = 0.5
"""Starts per second while the service takes no request. So the minute's end is seen within two seconds."""
TRICKLE = 0.2
"""Share of the even rate that is used while the minute is full. So the next start waits for at most five free
places."""
BELOW = 0.01
"""Margin below the limit, as a share of the limit, because requests arrive up to 10 ms after they start."""
NEAR = 0.97
"""Share of the limit. If this share was taken, a refusal is the minute's."""
RAISE = 0.05
"""Share by which a limit is raised for a try, if the limit was not touched for two minutes. The next try raises the
limit by twice the share. A try costs refusals."""


class Minute:
    """The limit of a minute, if the service has such a limit. `limit` is infinite until a wall shows the limit.

    A wall is a series of refusals during which the service takes no request. The limit is the number of requests that
    were taken in the minute before the wall. If a wall ends before any request left the minute, the service counts
    fixed minutes, and a new minute has begun. If the refusals of a wall say that the service is busy, and name no
    quota, the wall is an outage: `down`. `row`: refusals since the last request that was taken.
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
        """Takes over a limit that an earlier run found."""
        self.limit = self._allowed = limit

    def paused(self, until: float) -> None:
        """Notes that the account is paused until `until`."""
        self._paused_until = until

    def taken(self, in_minute: float) -> bool:
        """Notes that a request was taken. in_minute: requests taken in the minute before. Returns True if the service's
        own minute has begun anew."""
        turned = self._walled and in_minute >= self.limit
        self._walled, self.row = False, 0
        if not math.isinf(self.limit):
            self.limit = max(self.limit, 0.0 if turned else in_minute)
        return turned

    def refused(self, sent: Sent, in_minute: float, in_second: float) -> bool:
        """Notes refused requests. Returns True if the minute is the cause, or an outage that looks like the minute.
        Sets `fell` if this cause has just been found."""
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
        """Returns the starts per second. What is left of the minute may be used up within a second. in_minute: requests
        that were taken, or may yet be taken."""
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
