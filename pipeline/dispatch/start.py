"""How fast a run may start before the service has shown a limit."""

from __future__ import annotations

import math

from pipeline.dispatch.sends import SECOND

FIRST, FIRST_SLOTS = 16.0, 2
"""Starts per second, and requests in flight at first, until an answer says how long answers take. A concurrency that
the user names begins with so many slots."""
MOST = 1024
"""Requests in flight, where the user names no number."""
GROWTH = 2.5
"""A try is so many times the most that was taken in one second."""
RAMP_A_SECOND = 256
"""A concurrency that the user names is reached by so many slots a second at least: 64 after a fifth of a second."""


class Start:
    """Tries a higher rate for a second, in which a service that counts by the second sees the rate, then keeps to the
    rate that was taken until that second's answers are back.

    So a service that needs seconds to answer gets too many requests for one second only.
    """

    def __init__(self) -> None:
        self._taken = 0.0
        self._tried_from = -math.inf

    def rate(self, now: float, in_second: float, latency: float) -> float:
        """Starts per second. in_second: what the service is known to have taken in the last second; latency: seconds
        that answers take."""
        self._taken = max(self._taken, in_second)
        if now - self._tried_from >= SECOND + latency:
            self._tried_from = now
        return max(FIRST, self._taken * (GROWTH if now - self._tried_from < SECOND else 1.0))


def ramped(slots: int, passed: float) -> int:
    """How many of the user's slots are open `passed` seconds after the first request (infinite: there was none)."""
    grown = FIRST if math.isinf(passed) else FIRST + max(slots, RAMP_A_SECOND) * passed
    return min(slots, int(max(grown, FIRST)))
