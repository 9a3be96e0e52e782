"""How fast a run may start before the service has shown a limit."""

from __future__ import annotations

import math

FIRST = 16.0
"""Starts per second until the first answer says how long answers take."""
GROWTH = 2.5
"""The rate is so many times what was taken in one second, for a second each time."""
TRY_SECONDS = 1.0
RAMP, RAMP_A_SECOND = 16, 256
"""A concurrency that the user names is reached by so many slots a second at least: 64 after a fifth of a second."""


class Start:
    """Tries a higher rate for a second, then keeps to what was taken until the answers of that second are back.

    So a service that needs seconds to answer is sent too much for one second, and not until the first refusal is back.
    """

    def __init__(self) -> None:
        self._taken = 0.0
        self._tried_from = -math.inf

    def rate(self, now: float, in_second: float, latency: float) -> float:
        """Starts per second. in_second: what the service is known to have taken in the last second; latency: seconds
        that answers take."""
        self._taken = max(self._taken, in_second)
        if now - self._tried_from >= TRY_SECONDS + latency:
            self._tried_from = now
        return max(FIRST, self._taken * (GROWTH if now - self._tried_from < TRY_SECONDS else 1.0))


def ramped(slots: int, passed: float) -> int:
    """How many of the user's slots are in use `passed` seconds after the start; infinite where nothing started."""
    grown = RAMP if math.isinf(passed) else RAMP + max(slots, RAMP_A_SECOND) * passed
    return min(slots, int(max(grown, RAMP)))
