"""Judges whether a refusal is about the load, the whole account or one row, and finds how many slots a service has."""

from __future__ import annotations

from bisect import insort
from typing import Literal

from pipeline.dispatch.limiter import Ticket
from pipeline.errors import Fault

LEAST_ROUND_TRIP = 0.5
"""Seconds. A shorter round trip is not assumed, because answers are rare at a low rate even if they are quick."""
IN_A_ROW = 4
"""Refusals that make an episode. If chance refuses one in ten requests, four refusals come together once in a thousand
requests."""
SPAN = 6
"""The refusals of an episode are among so many consecutive requests. After an answer, the refusals of earlier requests
do not count any more."""
MOST_KEPT = 64
_BUSY = frozenset({503, 529})
"""Statuses that mean "not now": the default status of nginx for its limits (`limit_req_status`, `limit_conn_status` in
nginx's documentation), and "overloaded" of some services of language models."""


def may_be_load(fault: Fault) -> bool:
    """Tells whether too many requests can be the reason why a server that answers other requests gives this fault."""
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
        """Counts an answer. Refusals of requests that were sent before this request are part of no current episode."""
        latency = now - ticket.at
        self._round_trip += (latency - self._round_trip) * (0.1 if self._round_trip else 1.0)
        self._answered_at = now
        if self._run:
            self._run = [number for number in self._run if number > ticket.number]

    def answering(self, now: float, started: float) -> bool:
        """Tells whether other requests were answered while this request was in flight, or within two round trips."""
        return self._answered_at >= min(started, now - 2 * max(LEAST_ROUND_TRIP, self._round_trip))

    def isolated(self, now: float, ticket: Ticket, *, others: bool) -> bool:
        """Counts a refusal. Tells whether only this request is refused: returns False in an episode, and if no request
        is answered and no `others` are in flight."""
        insort(self._run, ticket.number)
        del self._run[:-MOST_KEPT]
        last = self._run[-IN_A_ROW:]
        if len(last) == IN_A_ROW and last[-1] - last[0] < SPAN:
            return False
        return others or self.answering(now, ticket.at)


MOST_ROUNDS = 16
"""Most rounds of answers between two tries of one more slot. One refusal in 16 rounds is little."""


class Slots:
    """A bound on the requests in flight. `most` is None until the service names its number of slots, or gives the
    number in flight as the reason of a refusal.

    After a refusal there are as many slots as other requests were in flight. After some rounds of answers, one more
    slot is tried. Each refused try doubles the number of rounds. Each successful try halves the number of rounds.
    """

    def __init__(self) -> None:
        self.most: int | None = None
        self._named = float("inf")
        self._rounds = 1
        self._answers = 0
        self._changed_at = float("-inf")
        self._changed_by: Literal["try", "refusal"] = "refusal"

    def named(self, count: float) -> None:
        """Takes over the number of slots that the service publishes."""
        self._named = max(1.0, count)
        self.most = int(self._named) if self.most is None else min(self.most, int(self._named))

    def refused(self, now: float, started: float, in_flight: int) -> None:
        """Learns that a request sent at `started` was refused because of the others in flight. in_flight: includes this
        request."""
        if self.most is not None and started > self._changed_at:
            self._rounds = min(MOST_ROUNDS, 2 * self._rounds)
        if self.most is None or in_flight - 1 < self.most:
            self.most = max(1, in_flight - 1)
        self._answers = 0
        self._changed_at = now
        self._changed_by = "refusal"

    def answered(self, now: float, *, bound: bool) -> None:
        """Counts an answered request. bound: the slots hold the queue back."""
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
