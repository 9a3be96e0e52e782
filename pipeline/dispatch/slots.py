"""How many requests a service takes at once, where its refusals say that this was the reason."""

from __future__ import annotations

from typing import Literal

MOST_ROUNDS = 16
"""Rounds of answers between two tries of one slot more, once tries have failed: one refusal in 16 rounds is little."""


class Slots:
    """A bound on the requests in flight; `most` is None until a refusal names them as its reason.

    A refusal leaves as many slots as others were under way. One more is tried after a round of answers, after twice
    as many rounds each time that such a try is refused, half as many each time that one is taken.
    """

    def __init__(self) -> None:
        self.most: int | None = None
        self._named = float("inf")
        self._rounds = 1
        self._answers = 0
        self._changed_at = float("-inf")
        self._changed_by: Literal["try", "refusal"] = "refusal"

    def named(self, count: float) -> None:
        """The service publishes its number."""
        self._named = max(1.0, count)
        self.most = int(self._named) if self.most is None else min(self.most, int(self._named))

    def refused(self, now: float, started: float, in_flight: int) -> None:
        """A request sent at `started` was refused for its company; `in_flight` counts it too."""
        if self.most is not None and started > self._changed_at:
            self._rounds = min(MOST_ROUNDS, 2 * self._rounds)
        if self.most is None or in_flight - 1 < self.most:
            self.most = max(1, in_flight - 1)
        self._answers = 0
        self._changed_at = now
        self._changed_by = "refusal"

    def answered(self, now: float, *, bound: bool) -> None:
        """A request was taken. `bound`: slots are what holds the queue back."""
        if self.most is None or not bound or self.most >= self._named:
            return
        self._answers += 1
        if self._answers >= self._rounds * self.most:
            if self._changed_by == "try":
                self._rounds = max(1, self._rounds // 2)
            self.most += 1
            self._changed_by = "try"
            self._answers = 0
            self._changed_at = now
