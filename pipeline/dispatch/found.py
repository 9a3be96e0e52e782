"""What is known of an account's quota, as a value."""

from __future__ import annotations

import msgspec

CHANCE_WORTH_SAYING = 0.01


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. None: no such limit is known.

    per_second, per_minute: requests. slots: requests in flight. chance: share of requests refused by chance. latency:
    seconds an answer takes. at: seconds since 1970.
    """

    per_second: float | None = None
    per_minute: float | None = None
    slots: int | None = None
    chance: float = 0.0
    latency: float = 0.0
    at: float = 0.0

    @property
    def known(self) -> bool:
        return not self.per_second is self.per_minute is self.slots is None

    def words(self) -> str:
        """For people: the limit and the way of counting."""
        if self.per_minute is not None:
            found = f"{self.per_minute:,.0f} requests a minute, counted by the minute"
        elif self.per_second is not None:
            found = f"{self.per_second:,.3g} requests a second ({self.per_second * 60:,.0f} a minute)"
        else:
            found = f"{self.slots} requests at once"
        if self.chance >= CHANCE_WORTH_SAYING:
            found += f"; {self.chance:.0%} are refused by chance"
        return found
