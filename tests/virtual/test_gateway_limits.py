"""Limits as LiteLLM's proxy has and names them: requests at once, and requests in a fixed minute of a key."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from support.scripted import Answer

from pipeline.dispatch.account import Limits
from pipeline.dispatch.prepared_request import Policy
from pipeline.types import Answered


class AtOnce:
    """A service that takes `count` requests at once, each for `latency` seconds, and refuses others quickly."""

    def __init__(self, count: int, latency: float = 1.0) -> None:
        self.count = count
        self.latency = latency
        self.refused = 0
        self._until: list[float] = []

    def __call__(self, row: int, now: float) -> Answer:
        self._until = [until for until in self._until if until > now + 1e-9]
        if len(self._until) < self.count:
            self._until.append(now + self.latency)
            return Answer(latency=self.latency)
        self.refused += 1
        headers = {"retry-after": "60", "rate_limit_type": "max_parallel_requests"}
        return Answer(status=429, headers=headers, latency=0.01)


@pytest.mark.parametrize("named", [None, 64])
@pytest.mark.parametrize("count", [1, 8, 20])
def test_too_many_at_once_lowers_the_slots_and_pauses_nobody(pool_run: Any, count: int, named: int | None) -> None:
    service = AtOnce(count)
    rows = 20 * count
    # With one slot and six attempts, one run in fourteen leaves a row for the next run: the row with which a second
    # slot was tried six times.
    result = pool_run(service, rows, limits=Limits(concurrency=named), policy=Policy(attempts=12))
    assert result.count(Answered) == rows
    assert result.account.cooldown.count == 0
    assert result.took <= 1.3 * 20 + 14
    assert service.refused <= 80 + 0.1 * rows


def test_more_slots_are_found_when_there_are_more(pool_run: Any) -> None:
    service = AtOnce(4)

    def script(row: int, now: float) -> Answer:
        service.count = 4 if now - began[0] < 20.0 else 12
        return service(row, now)

    began = [0.0]
    result = pool_run(script, 600)
    assert result.count(Answered) == 600
    assert result.took <= 20.0 + (600 - 80) / 12 + 35.0


class FixedMinute:
    """A key with `count` requests in each minute from its first one, and LiteLLM's headers."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.refused = 0
        self._began = float("-inf")
        self._taken = 0
        self._rng = random.Random(1)

    def __call__(self, row: int, now: float) -> Answer:
        if now >= self._began + 60.0:
            self._began, self._taken = now, 0
        if self._taken >= self.count:
            self.refused += 1
            headers = {"retry-after": f"{math.ceil(self._began + 60.0 - now)}", "rate_limit_type": "requests"}
            return Answer(status=429, headers=headers, latency=0.01)
        self._taken += 1
        headers = {
            "x-ratelimit-api_key-limit-requests": str(self.count),
            "x-ratelimit-api_key-remaining-requests": str(self.count - self._taken),
        }
        return Answer(headers=headers, latency=self._rng.uniform(0.3, 0.7))


@pytest.mark.parametrize("count", [60, 600])
def test_the_minute_of_a_key_is_used_at_once_and_not_passed(pool_run: Any, count: int) -> None:
    service = FixedMinute(count)
    result = pool_run(service, 3 * count + count // 2)
    assert result.count(Answered) == 3 * count + count // 2
    assert service.refused <= 0.15 * 3.5 * count + 60, "once, half a minute may be sent too early"
    assert result.took <= 3 * 60.0 + 180.0, "a rate that was cut without need costs the rest"
    first = [at for at in result.ended_at.values() if at < 55.0]
    assert len(first) >= 0.9 * count
    assert sorted(first)[count // 2] <= 15.0, "the burst that is granted is taken"
