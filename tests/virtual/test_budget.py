"""Money: what is spent and what is reserved never pass the ceiling together."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pool_run import PoolRun
from support.scripted import Answer, prepared

from pipeline.dispatch.account import Limits
from pipeline.dispatch.budget import Budget, Spent
from pipeline.types import Answered, Failed, Left, Usage

KNOWN = Usage(input_tokens=10, output_tokens=1)


@settings(max_examples=60, deadline=None)
@given(
    ceiling=st.floats(0.5, 20),
    attempts=st.lists(
        st.tuples(st.floats(0.01, 3), st.one_of(st.none(), st.floats(0, 1)), st.floats(0, 5), st.booleans()),
        min_size=1,
        max_size=40,
    ),
)
def test_the_ceiling_holds_under_any_interleaving(
    virtual: Any, ceiling: float, attempts: list[tuple[float, float | None, float, bool]]
) -> None:
    async def main() -> None:
        budget = Budget(ceiling)

        def check() -> None:
            assert budget.spent + budget.reserved <= ceiling + 1e-6

        async def one(worst: float, share: float | None, latency: float, impatient: bool) -> None:
            with anyio.move_on_after(latency / 2 if impatient else None):
                try:
                    await budget.reserve(worst)
                except Spent:
                    assert budget.reserved == 0
                    assert budget.spent + worst > ceiling
                    return
                check()
                try:
                    await anyio.sleep(latency)
                finally:
                    budget.settle(worst, None if share is None else share * worst)
                    check()

        async with anyio.create_task_group() as group:
            for attempt in attempts:
                group.start_soon(one, *attempt)
        assert budget.reserved == 0
        assert budget.waiting == 0

    virtual(main)


def priced(row: int) -> Any:
    return prepared(row, usage=KNOWN, worst_cost=1.0, price=lambda usage: (0.25, "CNY"))


def test_a_run_spends_up_to_the_ceiling_and_stops_with_nothing_in_flight(pool_run: Any) -> None:
    budget = Budget(10.0)
    result = pool_run(lambda row, now: Answer(), 1000, ask=priced, budget=budget, limits=Limits(concurrency=20))
    assert result.stopped.reason == "budget"
    assert 9.0 < budget.spent <= 10.0
    assert result.count(Answered) == round(budget.spent / 0.25)
    assert result.count(Failed) == 0
    assert result.wire.most_in_flight <= 10


def test_an_attempt_without_usage_stays_charged_at_its_worst_case(pool_run: Any) -> None:
    budget = Budget(10.0)
    result = pool_run(lambda row, now: Answer(status=500 if row % 2 else 200), 100, ask=priced, budget=budget)
    lost = sum(sent.status == 500 for sent in result.wire.sent)
    answered = len(result.wire.sent) - lost
    assert budget.spent == pytest.approx(lost * 1.0 + answered * 0.25)
    assert budget.spent <= 10.0


def test_refusals_for_the_rate_are_not_charged(pool_run: Any) -> None:
    budget = Budget(10.0)
    pool_run(lambda row, now: Answer(status=429 if now % 7 < 1 else 200), 20, ask=priced, budget=budget)
    assert budget.spent == pytest.approx(20 * 0.25)


def test_a_budget_without_a_price_refuses_the_row(pool_run: Any) -> None:
    result = pool_run(lambda row, now: Answer(), 2, budget=Budget(1.0))
    assert {ending.fault.code for ending in result.endings.values()} == {"Local.UnknownPrice"}
    assert result.wire.sent == []


def test_rows_waiting_for_money_are_left_not_failed(pool_run: Any) -> None:
    result = pool_run(lambda row, now: Answer(), 50, ask=priced, budget=Budget(2.0))
    assert result.count(Left) == len(result.endings) - result.count(Answered) > 0


def test_stopping_gives_back_what_was_reserved_but_not_sent(virtual: Any) -> None:
    budget = Budget(1000.0)
    one = PoolRun(
        lambda row, now: Answer(latency=5.0), ask=priced, budget=budget, limits=Limits(concurrency=4, rpm=600)
    )

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one.run, 100)
            await anyio.sleep(1.0)
            one.stop.request_stop("signal", None)

    virtual(main)
    assert budget.spent == pytest.approx(len(one.wire.sent) * 0.25)
    assert budget.reserved == 0
