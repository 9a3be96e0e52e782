"""A quota that nobody told us is found and used: the promise of two minutes, on a clock that jumps."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from support.pool_run import PoolRun, run_for
from support.scripted import Answer, SlidingQuota

from pipeline.dispatch.account import Limits
from pipeline.dispatch.start import FIRST, FIRST_SLOTS
from pipeline.errors import Fault
from pipeline.types import Answered, Failed

SECONDS = 120.0
WARM = 10.0
PER_SECOND = 50


def two_minutes(virtual: Any, one: PoolRun, since: float) -> list[bool]:
    """Runs for two minutes; whether each request sent from `since` seconds on was taken."""
    run_for(virtual, one, SECONDS)
    return [sent.status == 200 for sent in one.wire.sent if sent.at - one.began >= since]


@pytest.mark.parametrize("latency", [0.02, 0.2, 1.0, 3.0])
@pytest.mark.parametrize(("seed", "quick"), [(1, False), (2, False), (3, True)], ids=["one", "two", "quick-refusals"])
def test_a_quota_of_50_a_second_is_used_to_90_per_cent_with_less_than_2_per_cent_refused(
    virtual: Any, latency: float, seed: int, quick: bool
) -> None:
    quota, rng = SlidingQuota(PER_SECOND), random.Random(seed)

    def script(row: int, now: float) -> Answer:
        taken = quota.admits(now + rng.uniform(0, 0.01))
        slow = latency * rng.uniform(0.9, 1.1)
        return Answer(status=200 if taken else 429, latency=slow if taken or not quick else min(0.05, latency))

    one = PoolRun(script)
    one.account.rng.seed(seed)
    late = two_minutes(virtual, one, since=WARM)
    assert sum(late) >= 0.9 * PER_SECOND * (SECONDS - WARM)
    # Answers of 3 s say so late that the slow start is too fast.
    assert quota.refused < (0.03 if latency > 1 else 0.02) * len(one.wire.sent)
    assert late.count(False) < 0.02 * len(late)


@pytest.mark.parametrize("latency", [0.02, 0.2])
@pytest.mark.parametrize(
    ("later", "least"), [(20, 0.85), (40, 0.8), (100, 0.75)], ids=["falls", "falls by a fifth", "rises"]
)
def test_a_quota_that_changes_in_the_night_is_found_again(
    virtual: Any, later: int, least: float, latency: float
) -> None:
    quota, rng = SlidingQuota(PER_SECOND), random.Random(5)

    def script(row: int, now: float) -> Answer:
        quota.count = later if now - one.began > 40.0 else PER_SECOND
        return Answer(status=200 if quota.admits(now) else 429, latency=latency * rng.uniform(0.9, 1.1))

    one = PoolRun(script)
    late = two_minutes(virtual, one, since=50.0)
    assert sum(late) >= least * later * (SECONDS - 50.0)
    assert late.count(False) < 0.02 * len(late)


@pytest.mark.parametrize("seed", range(3))
def test_a_quota_is_used_although_a_tenth_is_refused_by_chance(virtual: Any, seed: int) -> None:
    quota, rng = SlidingQuota(PER_SECOND), random.Random(seed)

    def script(row: int, now: float) -> Answer:
        taken = quota.admits(now) and rng.random() >= 0.1
        return Answer(status=200 if taken else 429, latency=0.2 * rng.uniform(0.9, 1.1))

    one = PoolRun(script)
    late = two_minutes(virtual, one, since=WARM)
    assert sum(late) >= 0.35 * PER_SECOND * (SECONDS - WARM)
    assert late.count(False) < 0.35 * len(late)


def test_a_slow_start_grows_to_1024_in_half_a_minute_and_at_most_doubles(pool_run: Any) -> None:
    result = pool_run(lambda row, now: Answer(latency=3.0), 20_000)
    starts = [at - result.began for at in result.wire.starts()]
    tries = [sum(4.0 * number <= at < 4.0 * (number + 1) for at in starts) for number in range(12)]
    assert tries[0] <= 2 * (3 * FIRST + FIRST_SLOTS)
    assert all(after <= 2.2 * before for before, after in itertools.pairwise(tries)), (
        "a second's try, 3 s for its answers"
    )
    assert tries[7] >= 0.9 * 1024 * 4 / 3
    assert result.wire.most_in_flight == 1024
    assert max(tries) <= 1.1 * 1024 * 4 / 3


def mixed(seed: int) -> Any:
    """5 % 429, 2 % 5xx, 1 % cuts, 1 % malformed, 1 % hangs of 2 s; each hundredth row is refused for good."""
    rng = random.Random(seed)
    spent: list[float] = []
    table = [
        (0.05, Answer(status=429)),
        (0.02, Answer(status=500)),
        (0.01, Answer(complete=False)),
        (0.01, Answer(status=599)),
        (0.01, Answer(latency=2.0, fault=Fault("transient", "Local.ReadTimeout", "hang", retry="yes"))),
    ]

    def script(row: int, now: float) -> Answer:
        draw, answer = rng.random(), Answer()
        for share, other in table:
            if 0 <= draw < share:
                answer = other
            draw -= share
        answer = Answer(status=400) if row % 100 == 7 else answer
        spent.append(answer.latency)
        return answer

    return script, spent


@pytest.mark.parametrize("seed", range(4))
def test_mixed_faults_end_within_a_third_of_the_scripted_time(pool_run: Any, seed: int) -> None:
    script, spent = mixed(seed)
    result = pool_run(script, 3000, limits=Limits(concurrency=64))
    assert result.took <= 1.3 * (sum(spent) / 64 + 2.0)
    assert result.account.cooldown.count == 0
    assert all(len(result.wire.of_row(row)) == 1 for row in range(7, 3000, 100))
    assert result.count(Answered) + result.count(Failed) == 3000
    assert result.count(Answered) >= 0.99 * (3000 - 30)
