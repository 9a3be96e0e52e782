"""How fast a run starts requests before the service has shown a limit."""

from __future__ import annotations

import math

from pipeline.dispatch.sends import SECOND

FIRST, FIRST_SLOTS = 16.0, 2
"""Starts per second, and requests in flight, until the first answer shows how long answers take. If the user names a
concurrency, the run begins with FIRST slots."""
MOST = 1024
"""Most requests in flight if the user names no number."""
GROWTH = 2.5
"""A try is this many times the most requests that were taken in one second."""
RAMP_A_SECOND = 256
"""Slots per second, at least, by which the slots grow to the concurrency that the user names: 64 slots are open after a
fifth of a second."""


class Start:
    """Tries a higher rate for one second, in which a service that counts by the second sees the rate. Then keeps to the
    rate that was taken until the answers of that second are back.

    So a service that needs seconds to answer gets too many requests for one second only.
    """

    def __init__(self) -> None:
        self._taken = 0.0
        self._tried_from = -math.inf

    def rate(self, now: float, in_second: float, latency: float) -> float:
        """Returns the starts per second. in_second: requests that the service is known to have taken in the last
        second. latency: seconds that answers take."""
        self._taken = max(self._taken, in_second)
        if now - self._tried_from >= SECOND + latency:
            self._tried_from = now
        return max(FIRST, self._taken * (GROWTH if now - self._tried_from < SECOND else 1.0))


def ramped(slots: int, passed: float) -> int:
    """Returns how many of the user's slots are open `passed` seconds after the first request or after a pause.
    Infinite: there was no request yet."""
    grown = FIRST if math.isinf(passed) else FIRST + max(slots, RAMP_A_SECOND) * passed
    return min(slots, int(max(grown, FIRST)))
