"""What is known of an account's quota."""

from __future__ import annotations

import msgspec

CHANCE_WORTH_SAYING = 0.01
LEAST, MOST = 0.01, 1e6
"""No service has limits outside this range. A value outside the range comes from a damaged file."""


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """The quota that was found. None: this limit is not known.

    per_second, per_minute: requests. slots: requests in flight. chance: share of requests refused by chance. latency:
    seconds that an answer takes. at: when the quota was kept, in seconds since 1970.
    """

    per_second: float | None = None
    per_minute: float | None = None
    slots: int | None = None
    chance: float = 0.0
    latency: float = 0.0
    at: float = 0.0

    @property
    def known(self) -> bool:
        """Tells whether any limit is known."""
        return any(limit is not None for limit in (self.per_second, self.per_minute, self.slots))

    @property
    def sound(self) -> bool:
        """Tells whether a run may begin with these values: a limit is known, and every value is possible."""
        limits = [limit for limit in (self.per_second, self.per_minute, self.slots) if limit is not None]
        within = all(LEAST <= limit <= MOST for limit in limits)
        return bool(limits) and within and 0 <= self.chance < 1 and 0 <= self.latency <= MOST

    def message(self) -> str:
        """Returns a text for people: the limit and the way of counting."""
        if self.per_minute is not None:
            found = f"{self.per_minute:,.0f} requests a minute, counted by the minute"
        elif self.per_second is not None:
            found = f"{self.per_second:,.3g} requests a second ({self.per_second * 60:,.0f} a minute)"
        else:
            found = f"{self.slots} requests at once"
        if self.chance >= CHANCE_WORTH_SAYING:
            found += f"; {self.chance:.0%} are refused by chance"
        return found
