"""A service that has answered nothing since the run began, though it can be reached: the cause is named soon."""

from __future__ import annotations

from typing import Any

import pytest
from support.scripted import DROPPED, Answer

from pipeline.dispatch.account import Limits
from pipeline.dispatch.prepared_request import Policy
from pipeline.types import Answered, Failed, Left


@pytest.mark.parametrize("concurrency", [None, 4, 64])
@pytest.mark.parametrize("answer", [Answer(status=500), Answer(status=502), Answer(fault=DROPPED, status=0)])
def test_nothing_but_errors_ends_the_run_within_three_minutes(
    pool_run: Any, answer: Answer, concurrency: int | None
) -> None:
    result = pool_run(lambda row, now: answer, 2000, limits=Limits(concurrency=concurrency))
    assert result.took < 180.0
    assert result.stopped.reason == "circuit"
    assert (answer.fault.code if answer.fault else f"E{answer.status}") in result.stopped.message
    assert result.count(Failed) <= 100
    assert result.count(Left) > 0


def test_a_service_that_loads_its_model_for_minutes_is_awaited(pool_run: Any) -> None:
    """llama.cpp and vLLM answer 503 until the model is loaded."""
    began: list[float] = []

    def script(row: int, now: float) -> Answer:
        began.append(now)
        return Answer(status=503 if now - began[0] < 240.0 else 200)

    result = pool_run(script, 200, policy=Policy(deadline=1e6, attempts=20))
    assert result.stopped.reason == "finished"
    assert result.count(Answered) == 200


def test_errors_after_answers_are_an_outage_that_is_awaited(pool_run: Any) -> None:
    began: list[float] = []

    def script(row: int, now: float) -> Answer:
        began.append(now)
        return Answer(status=500 if 10.0 <= now - began[0] < 200.0 else 200)

    result = pool_run(script, 3000, limits=Limits(concurrency=8), policy=Policy(deadline=1e6, attempts=20))
    assert result.stopped.reason == "finished"
    assert result.count(Answered) == 3000
