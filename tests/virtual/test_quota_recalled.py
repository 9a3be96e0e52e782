"""A run begins at the quota that the run before found."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.pool_run import PoolRun, run_for
from support.scripted import Answer, SlidingQuota

from pipeline.dispatch.found import Learnt

SECONDS = 30


def begun_with(virtual: Any, learnt: Learnt, quota: SlidingQuota) -> list[int]:
    """What was taken in each second of a run that recalls `learnt`; quota counts what it refuses."""
    rng = random.Random(3)

    def script(row: int, now: float) -> Answer:
        return Answer(status=200 if quota.admits(now) else 429, latency=0.2 * rng.uniform(0.9, 1.1))

    one = PoolRun(script)
    one.account.recall(learnt)
    run_for(virtual, one, SECONDS)
    taken = [sent.at - one.began for sent in one.wire.sent if sent.status == 200]
    return [sum(second <= at < second + 1 for at in taken) for second in range(SECONDS)]


def test_the_second_run_uses_the_quota_from_its_first_second(virtual: Any) -> None:
    quota = SlidingQuota(50)
    taken = begun_with(virtual, Learnt(per_second=50.5, latency=0.2), quota)
    assert sum(taken) >= 0.96 * 50 * SECONDS
    assert min(taken[:3]) >= 45
    assert quota.refused <= 0.02 * 50 * SECONDS


@pytest.mark.parametrize(("known", "least"), [(100.0, 0.9), (25.0, 0.75)])
def test_a_rate_that_is_no_longer_true_costs_little(virtual: Any, known: float, least: float) -> None:
    quota = SlidingQuota(50)
    taken = begun_with(virtual, Learnt(per_second=known, latency=0.2), quota)
    assert sum(taken) >= least * 50 * SECONDS
    assert quota.refused <= 0.04 * 50 * SECONDS


def test_a_minute_that_is_known_is_not_overrun(virtual: Any) -> None:
    quota = SlidingQuota(600, 60.0)
    taken = begun_with(virtual, Learnt(per_minute=600, latency=0.2), quota)
    assert sum(taken) >= 0.9 * 10 * SECONDS
    assert quota.refused <= 3


@pytest.mark.parametrize(
    ("learnt", "words"),
    [
        (Learnt(per_second=49.8), "49.8 requests a second (2,988 a minute)"),
        (Learnt(per_minute=600), "600 requests a minute, counted by the minute"),
        (Learnt(slots=16), "16 requests at once"),
        (Learnt(per_second=5, chance=0.05), "5 requests a second (300 a minute); 5% are refused by chance"),
    ],
)
def test_the_quota_found_is_said_in_words(learnt: Learnt, words: str) -> None:
    assert learnt.message() == words
