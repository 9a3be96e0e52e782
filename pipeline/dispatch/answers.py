"""The answers that a controller learns from together, by the load at which their requests were taken."""

from __future__ import annotations

from pipeline.dispatch.belief import Belief
from pipeline.dispatch.sends import Sent

GROUPS = 5
"""Answers are grouped by how many requests were in flight: the group with the most in flight teaches the most."""
WORTH = 0.5
"""How many independent answers one answer is worth: those of one second have nearly the same load, and counted in full
they would put the limit 3 % too high."""


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

    def teach(self, rate: Belief, in_flight: Belief, unsure: float) -> None:
        """Limits below the loads become less likely. unsure: the variance of the loads in a second."""
        counted, total = self._counted / self.count, self._total / self.count
        rate.see((1 - rate.refusal(counted, total, unsure)) ** (self.count * WORTH))
        for slots, times in self._grouped():
            in_flight.see((1 - in_flight.refusal(slots, slots)) ** times)

    def _grouped(self) -> list[tuple[float, int]]:
        """The mean in flight and how many were taken, of at most `GROUPS` groups of neighbours."""
        loads = sorted(self._at_slots)
        size = -(-len(loads) // GROUPS)
        groups = [loads[start : start + size] for start in range(0, len(loads), size)]
        return [(sum(group) / len(group), sum(self._at_slots[load] for load in group)) for group in groups]
