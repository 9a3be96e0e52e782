"""What answers and refusals say of two limits: of the rate, and of the requests in flight."""

from __future__ import annotations

from pipeline.dispatch.belief import Array, Belief
from pipeline.dispatch.found import Learnt
from pipeline.dispatch.sends import Sent
from pipeline.dispatch.start import FIRST, MOST

CHANCES = (0.001, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15)
"""Shares of requests that chance may refuse. More than the last is a limit, whatever its cause."""
GROUPS = 5
"""Answers are grouped by how many requests were in flight: the group with the most in flight teaches the most."""
WORTH = 0.5
"""How many independent answers one answer is worth: those of one second have nearly the same load, and counted in full
they would put the limit 3 % too high."""
SURE = 20
"""Answers that the first refusal is weighed against: those at the highest load before it."""


class Answers:
    """Requests that the service took. `most`: the highest load in a second; `highest`: the highest loads of all before
    the first refusal (counted in a second, sent in a second, in flight)."""

    def __init__(self, highest: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> None:
        self.count = 0
        self.most = 0.0
        self.highest = highest
        self._counted = self._total = 0.0
        self._at_slots: dict[int, int] = {}

    def next(self, *, first: bool) -> Answers:
        """An empty one for the answers that follow. first: no refusal was seen yet."""
        return Answers(self.highest) if first else Answers()

    def add(self, sent: Sent, taken: int) -> None:
        """So many of the requests were taken."""
        self.count += taken
        self.most = max(self.most, sent.counted)
        self._counted += taken * sent.counted
        self._total += taken * sent.total
        self._at_slots[sent.slots] = self._at_slots.get(sent.slots, 0) + taken
        counted, total, slots = self.highest
        self.highest = max(counted, sent.counted), max(total, sent.total), max(slots, float(sent.slots))

    @property
    def loads(self) -> tuple[float, float]:
        """The mean of the loads: counted in a second, sent in a second."""
        return self._counted / self.count, self._total / self.count

    @property
    def in_flight(self) -> list[tuple[float, int]]:
        """The mean in flight and how many were taken, of at most `GROUPS` groups of neighbours."""
        loads = sorted(self._at_slots)
        size = -(-len(loads) // GROUPS)
        groups = [loads[start : start + size] for start in range(0, len(loads), size)]
        return [(sum(group) / len(group), sum(self._at_slots[load] for load in group)) for group in groups]


class Limits:
    """What is believed of the two limits. What the one explains is not blamed on the other."""

    def __init__(self, rate: float, in_flight: float) -> None:
        """Looks for the limits around these loads."""
        self._rate = Belief(rate, chances=CHANCES, ways=2, unlimited=0.5, leak=0.03)
        # Fewer services count what is in flight. One that ends while another arrives makes room for it.
        self._in_flight = Belief(in_flight, chances=(0.0,), ways=1, unlimited=0.9, leak=0.4)

    @classmethod
    def recalled(cls, learnt: Learnt) -> Limits:
        """As an earlier run found them."""
        limits = cls(learnt.per_second or FIRST, learnt.slots or MOST)
        if learnt.per_second is not None:
            limits._rate.expect(learnt.per_second, learnt.chance)
        if learnt.slots is not None:
            limits._in_flight.expect(learnt.slots + 0.5, 0.0)
        return limits

    def copy(self) -> Limits:
        """Limits that learn nothing of what these learn from now on."""
        other = object.__new__(Limits)
        other._rate, other._in_flight = self._rate.copy(), self._in_flight.copy()
        return other

    @property
    def found(self) -> tuple[float, float, float]:
        """The rate's limit, the limit of the requests in flight, and the share that chance refuses."""
        return self._rate.limit, self._in_flight.limit, self._rate.chance

    def age(self, seconds: float, rate: float, in_flight: int) -> None:
        """Time passed at these loads."""
        self._rate.age(seconds, max(1e-3, rate))
        self._in_flight.age(seconds, max(1, in_flight))

    def taken(self, answers: Answers, unsure: float) -> None:
        """Limits below the loads become less likely. unsure: the variance of the loads in a second."""
        self._rate.see((1 - self._rate.refusal(*answers.loads, unsure)) ** (answers.count * WORTH))
        for load, times in answers.in_flight:
            self._in_flight.see((1 - self._in_flight.refusal(load, load)) ** times)

    def were_taken(self, answers: Answers) -> None:
        """Limits below the highest loads before the first refusal are out of the question."""
        counted, total, slots = answers.highest
        self._rate.see((1 - self._rate.refusal(counted, total)) ** SURE)
        self._in_flight.see((1 - self._in_flight.refusal(slots, slots)) ** SURE)

    def refused(self, sent: Sent, unsure: float, *, after_all: bool = False) -> float:
        """Learns one refusal; how likely it was chance. after_all: it had counted as taken."""
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
