"""What answers and refusals say about two limits: the limit of the rate, and the limit of the requests in flight."""

from __future__ import annotations

from pipeline.dispatch.belief import Array, Belief
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.sends import Sent
from pipeline.dispatch.start import FIRST, MOST

CHANCES = (0.001, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15)
"""Shares of requests that chance may refuse. If a larger share is refused, a limit refuses, whatever its cause is."""
GROUPS = 5
"""Most groups of answers. Answers are grouped by how many requests were in flight, because the group with the most
requests in flight teaches the most."""
WORTH = 0.5
"""How many independent answers one answer counts for. The answers of one second have nearly the same load. Counted in
full, these answers would put the limit 3 % too high."""
SURE = 20
"""How many answers the highest load before the first refusal counts for."""


class Answers:
    """Requests that the service took. `most`: the highest load in a second. `highest`: the highest loads before the
    first refusal (counted in a second, sent in a second, in flight)."""

    def __init__(self, highest: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        self.count = 0
        self.most = 0.0
        self.highest = highest
        self._counted = self._total = 0.0
        self._at_slots: dict[int, int] = {}

    def next(self, *, first: bool) -> Answers:
        """Returns empty Answers for the answers that follow. first: no refusal was seen yet, so the highest loads are
        kept."""
        return Answers(self.highest) if first else Answers()

    def add(self, sent: Sent, taken: int) -> None:
        """Counts `taken` requests of `sent` as taken by the service."""
        self.count += taken
        self.most = max(self.most, sent.counted)
        self._counted += taken * sent.counted
        self._total += taken * sent.total
        self._at_slots[sent.slots] = self._at_slots.get(sent.slots, 0) + taken
        counted, total, slots = self.highest
        self.highest = max(counted, sent.counted), max(total, sent.total), max(slots, float(sent.slots))

    @property
    def loads(self) -> tuple[float, float]:
        """Returns the mean loads: requests counted in a second, requests sent in a second."""
        return self._counted / self.count, self._total / self.count

    @property
    def in_flight(self) -> list[tuple[float, int]]:
        """Returns (mean requests in flight, requests taken) for each of at most `GROUPS` groups of neighbouring numbers
        in flight."""
        loads = sorted(self._at_slots)
        size = -(-len(loads) // GROUPS)
        groups = [loads[start : start + size] for start in range(0, len(loads), size)]
        return [(sum(group) / len(group), sum(self._at_slots[load] for load in group)) for group in groups]


class Limits:
    """The beliefs about the two limits. A refusal that one limit explains is not blamed on the other limit."""

    def __init__(self, rate: float, in_flight: float) -> None:
        """Begins to look for the limits around these loads: requests per second, requests in flight."""
        self._rate = Belief(rate, chances=CHANCES, ways=2, unlimited=0.5, leak=0.03)
        # Fewer services count requests in flight. A request that ends makes room for a request that arrives meanwhile.
        self._in_flight = Belief(in_flight, chances=(0.0,), ways=1, unlimited=0.9, leak=0.4)

    @classmethod
    def recalled(cls, learnt: Learnt) -> Limits:
        """Returns the limits that an earlier run found."""
        limits = cls(learnt.per_second or FIRST, learnt.slots or MOST)
        if learnt.per_second is not None:
            limits._rate.expect(learnt.per_second, learnt.chance)
        if learnt.slots is not None:
            limits._in_flight.expect(learnt.slots + 0.5, 0.0)
        return limits

    def copy(self) -> Limits:
        """Returns a copy that learns nothing of what the original learns later."""
        other = object.__new__(Limits)
        other._rate, other._in_flight = self._rate.copy(), self._in_flight.copy()
        return other

    @property
    def found(self) -> tuple[float, float, float]:
        """Returns the limit of the rate, the limit of the requests in flight, and the share of requests that chance
        refuses."""
        return self._rate.limit, self._in_flight.limit, self._rate.chance

    def age(self, seconds: float, rate: float, in_flight: int) -> None:
        """Ages both beliefs by `seconds` that passed at these loads."""
        self._rate.age(seconds, max(1e-3, rate))
        self._in_flight.age(seconds, max(1, in_flight))

    def taken(self, answers: Answers, unsure: float) -> None:
        """Learns answers: limits below the loads become less likely. unsure: the variance of the loads in a second."""
        self._rate.see((1 - self._rate.refusal(*answers.loads, unsure)) ** (answers.count * WORTH))
        for load, times in answers.in_flight:
            self._in_flight.see((1 - self._in_flight.refusal(load, load)) ** times)

    def were_taken(self, answers: Answers) -> None:
        """Learns the answers before the first refusal: limits below the highest loads become nearly impossible."""
        counted, total, slots = answers.highest
        self._rate.see((1 - self._rate.refusal(counted, total)) ** SURE)
        self._in_flight.see((1 - self._in_flight.refusal(slots, slots)) ** SURE)

    def refused(self, sent: Sent, unsure: float, *, after_all: bool = False) -> float:
        """Learns one refusal. Returns how likely chance refused the request. after_all: the request had counted as
        taken."""
        by_rate: Array = self._rate.refusal(sent.counted, sent.total, unsure)
        by_slots: Array = self._in_flight.refusal(sent.slots, sent.slots)
        if after_all:
            self._rate.see(1 / (1 - by_rate))
            self._in_flight.see(1 / (1 - by_slots))
        rate, slots = self._rate.mean(by_rate), self._in_flight.mean(by_slots)
        chance = self._rate.chance / (1 - (1 - rate) * (1 - slots))
        self._rate.see(1 - (1 - slots) * (1 - by_rate))
        self._in_flight.see(1 - (1 - rate) * (1 - by_slots))
        return chance
