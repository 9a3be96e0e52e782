"""The law: in any window of W seconds at most rate·W + burst requests start."""

from __future__ import annotations

import itertools
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.pool_run import PoolRun
from support.scripted import Answer, prepared

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.limiter import Admission
from pipeline.dispatch.rate import Rate
from pipeline.types import Answered, Failed, Usage

EPSILON = 1e-6


def check_law(starts: list[tuple[float, float]], rate: float, slack: float) -> None:
    """No window between two starts holds more than rate·W + slack."""
    for first, last in itertools.combinations_with_replacement(range(len(starts)), 2):
        window = starts[last][0] - starts[first][0]
        amount = sum(amount for _, amount in starts[first : last + 1])
        assert amount <= rate * window + slack + EPSILON


@settings(max_examples=60, deadline=None)
@given(
    rate=st.floats(0.2, 50),
    burst=st.integers(1, 5),
    concurrency=st.integers(1, 10),
    arrivals=st.lists(st.tuples(st.floats(0, 3), st.floats(0, 2), st.booleans()), min_size=2, max_size=40),
)
def test_the_law_holds_over_random_arrivals_latencies_and_cancellations(
    virtual: Any, rate: float, burst: int, concurrency: int, arrivals: list[tuple[float, float, bool]]
) -> None:
    starts: list[tuple[float, float]] = []
    order: list[int] = []

    async def main() -> None:
        admission = Admission(Rate(rate, burst), Rate(None), limit=lambda now: concurrency)
        flying = 0

        async def one(number: int, latency: float, impatient: bool) -> None:
            nonlocal flying
            with anyio.move_on_after(latency if impatient else None):
                ticket = await admission.acquire(None)
                starts.append((ticket.at, 1))
                order.append(number)
                flying += 1
                assert flying <= concurrency
                try:
                    await anyio.sleep(latency)
                finally:
                    flying -= 1
                    admission.release(ticket)

        async with anyio.create_task_group() as group:
            for number, (gap, latency, impatient) in enumerate(arrivals):
                await anyio.sleep(gap)
                group.start_soon(one, number, latency, impatient)
                await anyio.lowlevel.checkpoint()
        assert admission.in_flight == 0
        assert admission.waiting == 0

    virtual(main)
    check_law(starts, rate, burst)
    assert order == sorted(order)


@settings(max_examples=60, deadline=None)
@given(
    per_minute=st.integers(100, 10_000),
    rows=st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 5)), min_size=2, max_size=40),
)
@example(per_minute=100, rows=[(0.03125, 0, 2), (1, 1, 0), (1, 1, 0)])
def test_used_tokens_stay_within_the_rate_the_largest_reservation_and_what_was_given_back(
    per_minute: int, rows: list[tuple[float, float, float]]
) -> None:
    """Charges in a row as soon as they may be made, each corrected a while later to what was used.

    In any window of W seconds: used ≤ rate·W + the largest reservation + what came back within the window of charges
    made before it. That last part lets a token quota be used to the full when estimates are high.
    """
    rate = Rate(per_minute / 60)
    corrections: list[tuple[float, float]] = []
    starts: list[tuple[float, float, float, float]] = []  # when, used, given back, when given back
    now = 0.0
    for share, fraction, latency in rows:
        reserved = max(1, int(share * per_minute))
        while (wait := rate.wait(now)) > 0:
            due = min([at for at, _ in corrections], default=float("inf"))
            now = min(now + wait, due)
            for correction in [one for one in corrections if one[0] <= now]:
                corrections.remove(correction)
                rate.correct(now, correction[1])
        rate.charge(now, reserved)
        used = int(reserved * fraction)
        starts.append((now, used, reserved - used, now + latency))
        corrections.append((now + latency, used - reserved))
    largest = max(1, *(int(share * per_minute) for share, _, _ in rows))
    for first, (begin, *_) in enumerate(starts):
        for last in range(first, len(starts)):
            end = starts[last][0]
            back = sum(given for _, _, given, at in starts[:first] if begin <= at <= end)
            total = sum(used for _, used, _, _ in starts[first : last + 1])
            assert total <= per_minute / 60 * (end - begin) + largest + back + 1e-6 * (1 + total)


def test_unsettled_tokens_are_bounded_as_reserved(virtual: Any) -> None:
    starts: list[tuple[float, float]] = []

    async def main() -> None:
        admission = Admission(Rate(None), Rate(10.0), limit=lambda now: 100)
        for number in range(50):
            ticket = await admission.acquire(5 + number % 20)
            starts.append((ticket.at, ticket.tokens))
            admission.release(ticket)

    virtual(main)
    check_law(starts, 10.0, 24)


def test_600_rows_at_60_rpm_take_600_seconds(pool_run: Any) -> None:
    result = pool_run(lambda row, now: Answer(latency=3.0), 600, limits=Limits(rpm=60))
    assert result.count(Answered) == 600
    assert abs(result.took - 600) <= 6
    starts = result.wire.starts()
    check_law([(at, 1) for at in starts[:150]], 1.0, 1.0)


def test_a_saturated_limit_is_used_to_99_per_cent_over_ten_minutes(pool_run: Any) -> None:
    latencies = itertools.cycle([0.3, 4.0, 0.9, 11.0])
    result = pool_run(lambda row, now: Answer(latency=next(latencies)), 12_000, limits=Limits(rpm=1200))
    ten_minutes = [at for at in result.wire.starts() if at - result.began <= 600]
    assert 0.99 * 12_000 <= len(ten_minutes) <= 12_001


def test_pessimistic_estimates_do_not_waste_the_token_rate(pool_run: Any) -> None:
    usage = Usage(input_tokens=80, output_tokens=20)
    result = pool_run(
        lambda row, now: Answer(latency=2.0),
        3000,
        limits=Limits(tpm=60_000),
        ask=lambda row: prepared(row, tokens=500, usage=usage),
    )
    assert result.took <= 300 * 1.1


def test_requests_without_an_estimate_reserve_what_replies_came_to(pool_run: Any) -> None:
    usage = Usage(input_tokens=900, output_tokens=100)
    result = pool_run(
        lambda row, now: Answer(latency=1.0),
        300,
        limits=Limits(tpm=60_000),
        ask=lambda row: prepared(row, usage=usage),
    )
    assert result.took == pytest.approx(300, rel=0.05)


def test_a_request_of_more_tokens_than_a_minute_is_refused_and_never_sent(pool_run: Any) -> None:
    result = pool_run(
        lambda row, now: Answer(),
        3,
        limits=Limits(tpm=1000),
        ask=lambda row: prepared(row, tokens=1001 if row == 1 else 10),
    )
    assert isinstance(result.endings[1], Failed)
    assert result.endings[1].fault.code == "Local.TooManyTokens"
    assert "limits.tpm" in result.endings[1].fault.message
    assert result.endings[1].attempts == ()
    assert result.wire.of_row(1) == []
    assert result.count(Answered) == 2


def test_two_jobs_of_one_account_share_its_rate(virtual: Any) -> None:
    account = Account(Limits(rpm=60))
    nights = [PoolRun(lambda row, now: Answer(latency=1.0), account=account) for _ in range(2)]

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for one in nights:
                group.start_soon(one.run, 60)

    virtual(main)
    starts = [at for one in nights for at in one.wire.starts()]
    assert len(starts) == 120
    check_law([(at, 1) for at in sorted(starts)], 1.0, 1.0)


def test_late_timers_are_made_up_for_but_idle_time_is_not() -> None:
    rate = Rate(50.0)
    rate.charge(10.0)
    rate.waited_for(10.021)
    rate.charge(10.021)
    assert rate.wait(10.021) == pytest.approx(0.019)
    rate.charge(20.0)
    assert rate.wait(20.0) == pytest.approx(0.02)


def test_a_cancelled_waiter_does_not_hold_up_the_queue(virtual: Any) -> None:
    async def main() -> float:
        admission = Admission(Rate(None), Rate(None), limit=lambda now: 1)
        first = await admission.acquire(None)
        got: list[float] = []

        async def patient() -> None:
            ticket = await admission.acquire(None)
            got.append(anyio.current_time())
            admission.release(ticket)

        async with anyio.create_task_group() as group:

            async def impatient() -> None:
                with anyio.move_on_after(1):
                    await admission.acquire(None)

            group.start_soon(impatient)
            await anyio.sleep(0.1)
            group.start_soon(patient)
            await anyio.sleep(5)
            released = anyio.current_time()
            admission.release(first)
        return got[0] - released

    assert virtual(main) == 0
