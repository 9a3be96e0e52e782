"""Whether a refusal is about the load, the whole account or one row, and how many slots a service has."""

from __future__ import annotations

from bisect import insort
from typing import Literal

from pipeline.dispatch.limiter import Ticket
from pipeline.errors import Fault

LEAST_ROUND_TRIP = 0.5
"""Seconds. At a low rate, answers are rare even if they are quick."""
IN_A_ROW = 4
"""Refusals that make an episode. By chance, at one in ten, four come together once in a thousand requests."""
SPAN = 6
"""The refusals of an episode are among so many consecutive requests; none of the others is answered."""
MOST_KEPT = 64
_BUSY = frozenset({503, 529})
"""Statuses that mean "not now": the default of nginx for its limits (`limit_req_status`, `limit_conn_status`
of its documentation), and "overloaded" of some services of language models."""


def may_be_load(fault: Fault) -> bool:
    """Whether a server that answers others gives this fault because there are too many requests."""
    if fault.kind != "transient" or fault.retry != "yes":
        return False
    return fault.http_status in _BUSY or fault.code == "Local.ConnectFailed"


class Refusals:
    """Compares an account's answers and refusals in the order in which their requests were sent."""

    def __init__(self) -> None:
        self._round_trip = 0.0
        self._answered_at = float("-inf")
        self._run: list[int] = []

    def answered(self, now: float, ticket: Ticket) -> None:
        """A request was answered: refusals of requests that were sent before it are part of no current episode."""
        latency = now - ticket.at
        self._round_trip += (latency - self._round_trip) * (0.1 if self._round_trip else 1.0)
        self._answered_at = now
        if self._run:
            self._run = [number for number in self._run if number > ticket.number]

    def answering(self, now: float, started: float) -> bool:
        """Whether other requests were answered while this request was in flight, or within two round trips."""
        return self._answered_at >= min(started, now - 2 * max(LEAST_ROUND_TRIP, self._round_trip))

    def isolated(self, now: float, ticket: Ticket, *, others: bool) -> bool:
        """Counts a refusal. Returns False for an episode, and if nothing is answered and no `others` are in flight."""
        insort(self._run, ticket.number)
        del self._run[:-MOST_KEPT]
        last = self._run[-IN_A_ROW:]
        if len(last) == IN_A_ROW and last[-1] - last[0] < SPAN:
            return False
        return others or self.answering(now, ticket.at)


MOST_ROUNDS = 16
"""Most rounds of answers between two tries of one slot more. One refusal in 16 rounds is little."""


class Slots:
    """A bound on the requests in flight. `most` is None until a refusal gives the number in flight as its reason.

    After a refusal there are as many slots as other requests were in flight. One slot more is tried after a round of
    answers. Each time that such a try is refused, the number of rounds doubles; each time that it succeeds, it halves.
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
        """A request sent at `started` was refused because of the others in flight. in_flight: includes this request."""
        if self.most is not None and started > self._changed_at:
            self._rounds = min(MOST_ROUNDS, 2 * self._rounds)
        if self.most is None or in_flight - 1 < self.most:
            self.most = max(1, in_flight - 1)
        self._answers = 0
        self._changed_at = now
        self._changed_by = "refusal"

    def answered(self, now: float, *, bound: bool) -> None:
        """A request was answered. bound: the slots hold the queue back."""
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
