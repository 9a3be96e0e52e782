"""One account with an endless queue against a service, in virtual time: the product's controller, rate limiter and
cool-down, with a seeded service."""

from __future__ import annotations

import heapq
import math
import random
from typing import NamedTuple

from control.scenarios import Scenario
from control.services import Slots
from pipeline.dispatch.control import RateController
from pipeline.dispatch.cooldown import Cooldown
from pipeline.dispatch.rate import Rate


class Sent(NamedTuple):
    """A request. limited: the limit refused it, not chance."""

    at: float
    taken: bool
    limited: bool
    size: float


class Score(NamedTuple):
    """used: taken after the warm-up, of what could be. refused: by the limit, of all that was sent. late: the same
    after two minutes. storm: most refused by the limit in one second after the warm-up, the five seconds after a change
    apart. recovered: seconds after the change until 85 % was used and 5 % refused over five seconds; -1 without one."""

    used: float
    refused: float
    late: float
    storm: int
    recovered: float


class Simulation:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario, self._rng = scenario, random.Random(seed)
        self._service = scenario.service()
        self.controller = RateController(None, scenario.named)
        self._cooldown = Cooldown(random.Random(seed + 1))
        self._rate = Rate(self.controller.rate)
        self._events: list[tuple[float, int, tuple[float, bool, float | None, bool] | None]] = [(0.0, 0, None)]
        self._number = self._in_flight = 0
        self._slot_bound = self._rate_bound = False
        self._wakes = 0.0
        self.sent: list[Sent] = []

    def run(self) -> list[Sent]:
        """All requests, in the order of sending."""
        while self._events and self._events[0][0] <= self._scenario.seconds:
            now, _, ended = heapq.heappop(self._events)
            if ended is not None:
                self._ended(now, *ended)
            elif now < self._wakes - 1e-12:
                continue
            self._wakes = self._send(now)
            if self._wakes < math.inf:
                self._push(self._wakes, None)
        return self.sent

    def _push(self, at: float, event: tuple[float, bool, float | None, bool] | None) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, event))

    def _ended(self, now: float, started: float, taken: bool, wait: float | None, held: bool) -> None:
        controller = self.controller
        if taken:
            controller.answered(now, started, slot_bound=self._slot_bound, rate_bound=self._rate_bound)
            self._cooldown.on_success(now, started)
        else:
            controller.throttled(now, started)
            if wait is not None and self._cooldown.pause(now, wait, started):
                controller.resumed(self._cooldown.until)
        self._rate.per_second = controller.rate
        self._in_flight -= 1
        self._service.served -= held

    def _send(self, now: float) -> float:
        """Starts what may start; when to look again."""
        while True:
            self._rate_bound = False
            paused = self._cooldown.wait(now)
            if paused > 1e-9:
                return now + paused
            self._slot_bound = self._in_flight >= self.controller.limit(now)
            if self._slot_bound:
                return now + self.controller.ramp(now)
            wait = self._rate.wait(now)
            self._rate_bound = wait > 0
            if wait > 0:
                return now + wait
            self._start(now)

    def _start(self, now: float) -> None:
        scenario, service, rng = self._scenario, self._service, self._rng
        self._rate.charge(now)
        self.controller.began(now)
        self._in_flight += 1
        size, by_chance = scenario.size(rng), rng.random() < scenario.chance(now)
        fits = service.takes(now + rng.uniform(0, 0.01), size)
        taken, latency, wait = fits and not by_chance, scenario.latency(rng), None
        held = taken and isinstance(service, Slots)
        service.served += held
        if held and isinstance(service, Slots) and service.queues:
            latency *= max(1.0, service.served / service.count)
        if not taken:
            latency = latency if scenario.quick is None else min(scenario.quick, latency)
            wait = service.wait(now) if scenario.waits and not fits else None
        self.sent.append(Sent(now, taken, not fits, size))
        self._push(now + latency, (now, taken, wait, held))


def score(sent: list[Sent], scenario: Scenario) -> Score:
    """What a run came to."""
    seconds, warm = int(scenario.seconds), int(scenario.warm)
    taken, limited, all_ = [0.0] * seconds, [0] * seconds, [0] * seconds
    for one in sent:
        second = int(one.at)
        if second < seconds:
            all_[second] += 1
            taken[second] += one.size if one.taken else 0.0
            limited[second] += one.limited
    could = [scenario.capacity(second + 0.5) for second in range(seconds)]
    late = [second for second in range(seconds) if second >= 120]
    calm = [limited[second] for second in range(warm, seconds) if not _changes(scenario, second)]
    return Score(
        used=sum(taken[warm:]) / sum(could[warm:]),
        refused=sum(limited) / max(1, sum(all_)),
        late=sum(limited[second] for second in late) / max(1, sum(all_[second] for second in late)),
        storm=max(calm),
        recovered=_recovered(scenario, taken, limited, all_, could),
    )


def _changes(scenario: Scenario, second: int) -> bool:
    return any(
        abs(scenario.capacity(second + 0.5) - scenario.capacity(second + 0.5 - back)) > 1e-9
        for back in range(1, min(6, second + 1))
    )


def _recovered(
    scenario: Scenario, taken: list[float], limited: list[int], sent: list[int], could: list[float]
) -> float:
    if scenario.change is None:
        return -1.0
    first = int(scenario.change)
    for second in range(first, len(could) - 4):
        five = slice(second, second + 5)
        if sum(taken[five]) >= 0.85 * sum(could[five]) and sum(limited[five]) <= 0.05 * sum(sent[five]):
            return float(second - first)
    return scenario.seconds - first
