"""Whether a refusal is about the load, the whole account or one row, and how many slots a service has."""

from __future__ import annotations

from bisect import insort
from typing import Literal

from pipeline.dispatch.limiter import Ticket
from pipeline.errors import Fault

LEAST_ROUND_TRIP = 0.5
"""Seconds. However quick the answers are, at a low rate they are seldom."""
IN_A_ROW = 4
"""Refusals that make an episode. By chance, at one in ten, so many stand together once in a thousand requests."""
SPAN = 6
"""Requests among which they stand. Between them may be what is still under way, never what was taken."""
MOST_KEPT = 64
_BUSY = frozenset({503, 529})
"""Statuses that say "not now": what nginx answers by default where it limits (`limit_req_status`, `limit_conn_status`
of its documentation), and the overloaded of some language models' services."""


def may_be_load(fault: Fault) -> bool:
    """Whether a server that answers others gives this fault because there are too many requests."""
    if fault.kind != "transient" or fault.retry != "yes":
        return False
    return fault.http_status in _BUSY or fault.code == "Local.ConnectFailed"


class Refusals:
    """What an account's answers and refusals say of each other, in the order in which their requests were sent."""

    def __init__(self) -> None:
        self._round_trip = 0.0
        self._answered_at = float("-inf")
        self._run: list[int] = []

    def answered(self, now: float, ticket: Ticket) -> None:
        """The service took a request: refusals of requests sent before it belong to no episode of now."""
        latency = now - ticket.at
        self._round_trip += (latency - self._round_trip) * (0.1 if self._round_trip else 1.0)
        self._answered_at = now
        if self._run:
            self._run = [number for number in self._run if number > ticket.number]

    def answering(self, now: float, started: float) -> bool:
        """Whether others were answered while this request was under way, or within two round trips."""
        return self._answered_at >= min(started, now - 2 * max(LEAST_ROUND_TRIP, self._round_trip))

    def isolated(self, now: float, ticket: Ticket, *, others: bool) -> bool:
        """Counts a refusal. False for an episode, and where nobody is answered and no `others` are under way."""
        insort(self._run, ticket.number)
        del self._run[:-MOST_KEPT]
        last = self._run[-IN_A_ROW:]
        if len(last) == IN_A_ROW and last[-1] - last[0] < SPAN:
            return False
        return others or self.answering(now, ticket.at)


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
