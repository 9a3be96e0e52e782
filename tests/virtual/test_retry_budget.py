"""Retries are held back in an outage, and never where a service answers, nor at a run's end."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.scripted import DROPPED, Answer, outage

from pipeline.dispatch.account import Limits
from pipeline.dispatch.prepared_request import Policy
from pipeline.types import Answered, Failed

FAULTS = {"dropped": Answer(fault=DROPPED, status=0, latency=2.0), "500": Answer(status=500, latency=2.0)}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("concurrency", [None, 64])
def test_a_service_that_answers_nine_of_ten_is_not_held_back(
    pool_run: Any, fault: str, concurrency: int | None
) -> None:
    def run(share: float, seed: int) -> Any:
        rng = random.Random(seed)
        result = pool_run(
            lambda row, now: FAULTS[fault] if rng.random() < share else Answer(latency=2.0),
            300,
            limits=Limits(concurrency=concurrency),
        )
        assert result.count(Answered) == 300
        return result

    free = run(0.0, 0).took
    assert all(run(0.1, seed).took <= 3 * free for seed in range(4))


@pytest.mark.parametrize("rows", [60, 600])
@pytest.mark.parametrize("latency", [0.02, 3.0])
def test_rows_that_always_fail_hold_up_no_runs_end(pool_run: Any, rows: int, latency: float) -> None:
    """Each tenth row fails each time, in the end with nobody answered between."""
    result = pool_run(
        lambda row, now: Answer(complete=row % 10 != 3, latency=latency * (3 if row % 10 == 3 else 1)),
        rows,
        policy=Policy(deadline=1e6),
    )
    assert result.count(Failed) == rows // 10
    assert all(len(ending.attempts) == 6 for ending in result.endings.values() if isinstance(ending, Failed))
    answered = max(at for row, at in result.ended_at.items() if row % 10 != 3)
    assert result.took <= answered + 6 * 3 * latency + 10.0
    assert result.account.cooldown.count == 0


@pytest.mark.parametrize("concurrency", [8, 64])
def test_a_service_that_is_back_after_7_s_is_used_at_once(pool_run: Any, concurrency: int) -> None:
    rows = 40 * concurrency
    result = pool_run(outage(3.0, 10.0), rows, limits=Limits(concurrency=concurrency))
    assert result.count(Answered) == rows
    assert result.took <= 7.0 + 40 * 0.5 + 16.0


def test_retries_that_fail_stay_within_a_fifth_and_ten_a_second(pool_run: Any) -> None:
    rng = random.Random(2)
    failed: list[float] = []
    firsts: list[float] = []
    seen: set[int] = set()

    def script(row: int, now: float) -> Answer:
        bad = rng.random() < 0.8
        if row not in seen:
            seen.add(row)
            firsts.append(now)
        elif bad:
            failed.append(now)
        return Answer(status=500 if bad else 200)

    result = pool_run(script, 1500, limits=Limits(concurrency=100), policy=Policy(circuit_ratio=2.0, attempts=20))
    assert len(result.endings) == 1500
    for now in firsts[:1000:50]:
        window = sum(now - 10 < at <= now for at in failed)
        assert window <= 1.3 * (100 + 0.2 * sum(now - 20 < at <= now for at in firsts))


def test_a_granted_retry_that_is_not_sent_any_more_is_given_back(pool_run: Any) -> None:
    """The deadline of the rows comes while the account pauses."""
    result = pool_run(
        lambda row, now: Answer(status=500),
        200,
        limits=Limits(concurrency=50),
        policy=Policy(circuit_ratio=2.0, attempts=20, deadline=8.0),
    )
    assert result.count(Failed) > 0
    assert result.account.retries.unsent == 0
