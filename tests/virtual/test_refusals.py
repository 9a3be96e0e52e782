"""Refusals as servers give them: what speaks of the load, of the account, of one row."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.scripted import REFUSED, Answer, SlidingQuota

from pipeline.dispatch.account import Limits
from pipeline.types import Answered

BUSY = {"503": Answer(status=503), "529": Answer(status=529), "refused connection": Answer(fault=REFUSED, status=0)}

SLOWER = 5.0
"""Times as long as without refusals, in the middle of five runs. The pauses cost little of it; the rate found does."""


@pytest.mark.parametrize("kind", BUSY)
def test_a_full_server_that_answers_others_is_found_like_a_429(pool_run: Any, kind: str) -> None:
    quota = SlidingQuota(10)

    def script(row: int, now: float) -> Answer:
        if quota.admits(now):
            return Answer(latency=0.2)
        return Answer(status=BUSY[kind].status, fault=BUSY[kind].fault, latency=0.005)

    result = pool_run(script, 400)
    assert result.count(Answered) == 400
    assert result.took <= 60.0
    assert quota.refused <= 60
    assert result.account.throttled > 0


@pytest.mark.parametrize("kind", BUSY)
def test_a_server_that_answers_nobody_is_an_outage(pool_run: Any, kind: str) -> None:
    began: list[float] = []

    def script(row: int, now: float) -> Answer:
        began.append(now)
        if now - began[0] < 30.0:
            return Answer(status=BUSY[kind].status, fault=BUSY[kind].fault, latency=0.01)
        return Answer(latency=0.2)

    result = pool_run(script, 200, limits=Limits(concurrency=16))
    assert result.count(Answered) == 200
    assert result.account.throttled == 0
    assert result.account.cooldown.count >= 3
    assert sum(sent.at - began[0] < 30.0 for sent in result.wire.sent) <= 2 * 16 + 10


@pytest.mark.parametrize("share", [0.05, 0.1])
@pytest.mark.parametrize("quick", [True, False], ids=["quick", "slow"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_chance_refusal_with_a_wait_delays_its_row_alone(
    pool_run: Any, share: float, quick: bool, status: int
) -> None:
    def run(refused: float, seed: int) -> Any:
        rng = random.Random(seed)

        def script(row: int, now: float) -> Answer:
            if rng.random() < refused:
                return Answer(status=status, headers={"retry-after": "1"}, latency=0.01 if quick else 1.0)
            return Answer(latency=1.0)

        result = pool_run(script, 300)
        assert result.count(Answered) == 300
        return result

    free = run(0.0, 0).took
    found = [run(share, seed) for seed in range(5)]
    assert sum(result.account.cooldown.count for result in found) <= 5
    assert sorted(result.took for result in found)[2] <= SLOWER * free


def test_refusals_in_a_row_pause_the_account_as_asked(pool_run: Any) -> None:
    full: list[float] = []

    def script(row: int, now: float) -> Answer:
        if row >= 50 and not full:
            full.append(now)
        if full and now - full[0] < 120.0:
            return Answer(status=429, headers={"retry-after": f"{120.0 - (now - full[0]):.3f}"}, latency=0.1)
        return Answer(latency=0.3)

    result = pool_run(script, 3000, limits=Limits(concurrency=16))
    assert result.count(Answered) == 3000
    during = [at for at in result.wire.starts() if full[0] <= at < full[0] + 120.0]
    assert len(during) <= 2 * 16
    assert result.account.cooldown.count <= 2, "what was sent in the moment of the pause brings a second one"
