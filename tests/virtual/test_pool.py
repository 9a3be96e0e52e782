"""Fan-out, retry, cool-down, deadlines and stops, on a clock that jumps."""

from __future__ import annotations

import itertools
import random
from typing import Any

import anyio
import pytest
from support.pool_run import PoolRun
from support.scripted import Answer, SlidingQuota, prepared

from pipeline.dispatch.account import Limits
from pipeline.dispatch.prepared_request import Policy
from pipeline.dispatch.transport import Timeouts
from pipeline.errors import Fault, MachineError, refusal
from pipeline.types import Answered, Failed, Left

FOREVER = 1e9


def once(status: int, *, headers: dict[str, str] | None = None, latency: float = 0.2) -> Any:
    """Each row's first attempt gets `status`, the others 200."""
    seen: set[int] = set()

    def script(row: int, now: float) -> Answer:
        first = row not in seen
        seen.add(row)
        return Answer(status=status if first else 200, headers=headers or {} if first else {}, latency=latency)

    return script


def test_every_row_ends_exactly_once_with_its_own_reason(pool_run: Any) -> None:
    statuses = itertools.cycle([200, 429, 200, 500, 200, 400, 403, 200])
    result = pool_run(lambda row, now: Answer(status=next(statuses)), 500)
    assert len(result.endings) == 500
    for row, ending in result.endings.items():
        assert len(ending.attempts) == len(result.wire.of_row(row))
        if isinstance(ending, Failed):
            assert ending.fault.http_status == result.wire.of_row(row)[-1].status


def test_a_lone_retry_after_of_120_s_delays_its_own_row_alone(pool_run: Any) -> None:
    refused: list[int] = []

    def script(row: int, now: float) -> Answer:
        if row < 50 or refused:
            return Answer(latency=0.3)
        refused.append(row)
        return Answer(status=429, headers={"retry-after": "120"}, latency=0.1)

    result = pool_run(script, 3000, limits=Limits(concurrency=16))
    assert result.count(Answered) == 3000
    assert [row for row, at in result.ended_at.items() if at > 80.0] == refused
    first, second = result.wire.of_row(refused[0])
    assert 120.1 <= second.at - first.at <= 120.4
    assert result.account.cooldown.count == 0


def test_a_retry_after_that_everybody_gets_pauses_everybody_once(pool_run: Any) -> None:
    refused: list[float] = []

    def script(row: int, now: float) -> Answer:
        if row < 50 or (refused and now > refused[0] + 1.0):
            return Answer(latency=0.3)
        refused.append(now)
        return Answer(status=429, headers={"retry-after": "120"}, latency=0.1)

    result = pool_run(script, 3000, limits=Limits(concurrency=16))
    assert result.count(Answered) == 3000
    starts = [at for at in result.wire.starts() if at > refused[-1]]
    assert 120.0 <= min(starts) - refused[0] <= 120.5
    gaps = [after - before for before, after in itertools.pairwise(sorted(result.wire.starts()))]
    assert sum(gap > 5 for gap in gaps) == 1
    assert len(refused) <= 2 * 16


def test_a_lone_429_delays_its_own_row_and_nobody_else(pool_run: Any) -> None:
    refused: list[int] = []

    def script(row: int, now: float) -> Answer:
        if row == 100 and not refused:
            refused.append(row)
            return Answer(status=429, latency=0.02)
        return Answer(latency=0.02)

    result = pool_run(script, 20_000, limits=Limits(concurrency=64))
    assert result.took <= 20_000 * 0.02 / 64 + 1.0
    assert result.account.cooldown.count == 0
    assert len(result.wire.of_row(100)) == 2


def test_random_429s_do_not_slow_the_others_down(pool_run: Any) -> None:
    rng = random.Random(3)
    result = pool_run(
        lambda row, now: Answer(status=429 if rng.random() < 0.05 else 200, latency=0.02),
        20_000,
        limits=Limits(concurrency=64),
    )
    middle = [at for at in result.wire.starts() if 2.0 <= at - result.began < 5.0]
    assert len(middle) / 3.0 >= 0.85 * 64 / 0.02
    assert result.account.cooldown.count == 0


def test_a_quota_of_50_a_second_is_found_and_used_without_storms(pool_run: Any) -> None:
    quota = SlidingQuota(50)
    rng = random.Random(5)

    def script(row: int, now: float) -> Answer:
        taken = quota.admits(now + rng.uniform(0, 0.01))
        return Answer(status=200 if taken else 429, latency=rng.uniform(0.18, 0.22) if taken else 0.05)

    result = pool_run(script, 6000)
    late = [sent for sent in result.wire.sent if 10 <= sent.at - result.began < 115]
    used = sum(sent.status == 200 for sent in late) / (105 * 50)
    refused = sum(sent.status == 429 for sent in result.wire.sent) / len(result.wire.sent)
    assert used >= 0.9
    assert refused < 0.02


def test_thirty_refusals_of_one_second_are_taken_for_chance_and_cost_little(pool_run: Any) -> None:
    bad = range(400, 430)
    refused: set[int] = set()

    def script(row: int, now: float) -> Answer:
        if row in bad and row not in refused:
            refused.add(row)
            return Answer(status=429, latency=1.0)
        return Answer(latency=1.0)

    result = pool_run(script, 2000, limits=Limits(concurrency=64))
    assert len(refused) == 30
    assert result.count(Answered) == 2000
    assert result.took <= 1.5 * 2000 / 64
    assert result.account.cooldown.count == 0


def test_the_total_timeout_fires_at_its_second(pool_run: Any) -> None:
    policy = Policy(timeouts=Timeouts(total=33.0), attempts=1)
    result = pool_run(lambda row, now: Answer(latency=FOREVER), 1, policy=policy)
    assert result.took == pytest.approx(33.0)
    assert result.endings[0].fault.code == "Local.TotalTimeout"


def test_the_deadline_ends_a_row_at_its_second_whatever_it_is_doing(pool_run: Any) -> None:
    policy = Policy(timeouts=Timeouts(total=70.0), deadline=100.0, attempts=50)
    result = pool_run(lambda row, now: Answer(latency=FOREVER), 3, policy=policy)
    assert all(at == pytest.approx(100.0, abs=0.2) for at in result.ended_at.values())
    assert {ending.fault.code for ending in result.endings.values()} == {"Local.Deadline"}


def test_a_deadline_in_the_middle_of_a_pause_gives_the_services_own_reason(pool_run: Any) -> None:
    def script(row: int, now: float) -> Answer:
        return Answer(status=503, headers={"retry-after": "30"}, latency=1.0)

    result = pool_run(script, 4, policy=Policy(deadline=50.0, attempts=50))
    assert all(isinstance(ending, Failed) and ending.fault.code == "E503" for ending in result.endings.values())
    assert max(result.ended_at.values()) <= 50.0


def test_permanent_faults_are_sent_exactly_once(pool_run: Any) -> None:
    result = pool_run(lambda row, now: Answer(status=400 if row % 10 == 0 else 200), 200)
    assert all(len(result.wire.of_row(row)) == 1 for row in range(200))
    assert result.count(Failed) == 20


def test_once_means_one_further_attempt_and_upload_prepares_anew(pool_run: Any) -> None:
    renewed: list[int] = []

    def ask(row: int) -> Any:
        async def renew() -> Any:
            renewed.append(row)
            return prepared(row)

        return prepared(row, renew=renew)

    result = pool_run(lambda row, now: Answer(status=424 if row == 0 else 410 if row == 1 else 200), 3, ask=ask)
    assert [len(result.wire.of_row(row)) for row in range(3)] == [2, 2, 1]
    assert renewed == [1]
    assert isinstance(result.endings[0], Failed)


def test_malformed_answers_get_three_attempts_and_transient_ones_as_many_as_set(pool_run: Any) -> None:
    result = pool_run(lambda row, now: Answer(status=599 if row == 0 else 500 if row == 1 else 200), 40)
    assert len(result.wire.of_row(0)) == 3
    assert len(result.wire.of_row(1)) == 6
    assert [attempt.attempt for attempt in result.endings[1].attempts] == [1, 2, 3, 4, 5, 6]


def test_a_cut_body_is_never_an_answer(pool_run: Any) -> None:
    result = pool_run(lambda row, now: Answer(complete=row != 1), 3, policy=Policy(attempts=2))
    assert isinstance(result.endings[1], Failed)
    assert result.count(Answered) == 2


def test_waiting_retries_hold_no_slot(pool_run: Any) -> None:
    refuse = once(500)
    result = pool_run(
        lambda row, now: refuse(row, now) if row % 4 == 0 else Answer(), 100, limits=Limits(concurrency=1)
    )
    starts = result.wire.starts()
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    assert result.count(Answered) == 100
    assert all(gap == pytest.approx(0.2) for gap in gaps[:100])


def test_an_outage_pauses_the_account_and_is_not_multiplied(virtual: Any) -> None:
    def script(row: int, now: float) -> Answer:
        down = 20 <= now - base[0] < 80
        return Answer(status=503 if down else 200, latency=0.2)

    base = [0.0]

    async def main() -> PoolRun:
        base[0] = anyio.current_time()
        return await PoolRun(script, limits=Limits(concurrency=32)).run(8000)

    result: PoolRun = virtual(main)
    during = [sent for sent in result.wire.sent if sent.status == 503]
    assert result.count(Answered) == 8000
    assert len(during) < 32 + 70
    assert 3 <= result.account.cooldown.count <= 12


def test_a_wrong_key_sends_at_most_concurrency_requests_and_leaves_the_rows(pool_run: Any) -> None:
    result = pool_run(lambda row, now: Answer(status=401), 1000, limits=Limits(concurrency=8))
    assert len(result.wire.sent) <= 8
    assert result.stopped.reason == "account"
    assert result.stopped.fault.kind == "account"
    assert result.count(Left) == len(result.endings) >= len(result.wire.sent)
    assert len(result.attempts) == len(result.wire.sent)


def test_what_is_in_flight_when_the_account_fails_is_kept(pool_run: Any) -> None:
    result = pool_run(
        lambda row, now: Answer(status=401 if row == 3 else 200, latency=1.0 if row == 3 else 5.0),
        100,
        limits=Limits(concurrency=8),
    )
    assert result.count(Answered) == 7
    assert result.count(Failed) == 0


def test_the_circuit_opens_on_a_ratio_and_never_on_a_few_bad_rows(pool_run: Any) -> None:
    few = pool_run(lambda row, now: Answer(status=400 if 5 <= row < 25 else 200), 300)
    assert few.stopped.reason == "finished"
    many = pool_run(lambda row, now: Answer(status=400 if row % 3 else 200), 3000)
    assert many.stopped.reason == "circuit"
    assert len(many.wire.sent) <= 2 * 50 + 8, "the circuit judges 50; a slow start from 8 has twice as many under way"
    blocked = pool_run(lambda row, now: Answer(status=403), 300)
    assert blocked.stopped.reason == "finished"


def test_rows_that_cannot_be_prepared_fail_without_being_sent(pool_run: Any) -> None:
    def ask(row: int) -> Any:
        if row % 2:
            raise refusal("NotAPicture", "no picture")
        return prepared(row)

    result = pool_run(lambda row, now: Answer(), 400, ask=ask)
    assert result.stopped.reason == "finished"
    assert result.count(Failed) == 200
    assert {ending.attempts for ending in result.endings.values() if isinstance(ending, Failed)} == {()}


@pytest.mark.parametrize(("grace", "answered"), [(10.0, 8), (1.0, 0), (None, 8)])
def test_a_stop_lets_fly_what_flies_for_its_grace(virtual: Any, grace: float | None, answered: int) -> None:
    one = PoolRun(lambda row, now: Answer(latency=5.0), limits=Limits(concurrency=8))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one.run, 1000)
            await anyio.sleep(2.0)
            one.stop.request_stop("signal", grace)

    virtual(main)
    assert one.stopped is not None
    assert one.stopped.reason == "signal"
    assert one.count(Answered) == answered
    assert one.took == pytest.approx(5.0 if answered else 3.0)
    assert len(one.wire.sent) == 8
    interrupted = [ending for ending in one.endings.values() if isinstance(ending, Left) and ending.attempts]
    assert len(interrupted) == 8 - answered


def test_a_second_stop_is_now(virtual: Any) -> None:
    one = PoolRun(lambda row, now: Answer(latency=50.0), limits=Limits(concurrency=8))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one.run, 1000)
            await anyio.sleep(2.0)
            one.stop.request_stop("signal", 25.0)
            await anyio.sleep(1.0)
            one.stop.request_stop("signal", 25.0)

    virtual(main)
    assert one.took == pytest.approx(3.0)


def test_cancelled_from_outside_the_run_ends_at_once(virtual: Any) -> None:
    one = PoolRun(lambda row, now: Answer(latency=50.0), limits=Limits(concurrency=8))

    async def main() -> float:
        began = anyio.current_time()
        with anyio.move_on_after(2.0):
            await one.run(1000)
        return anyio.current_time() - began

    assert virtual(main) == pytest.approx(2.0)
    assert one.count(Left) == len(one.endings) >= 8


def test_a_full_disk_stops_and_drains(virtual: Any) -> None:
    one = PoolRun(lambda row, now: Answer(latency=float(1 + row % 5)), limits=Limits(concurrency=8))
    kept: list[int] = []

    def done(row: int, ending: Any) -> None:
        kept.append(row)
        if row == 3:
            raise MachineError("disk full")

    one._done = done  # type: ignore[method-assign]
    virtual(lambda: one.run(1000))
    assert one.stopped is not None
    assert (one.stopped.reason, one.stopped.message) == ("machine", "disk full")
    assert set(range(8)) <= set(kept)


def test_a_bug_in_ask_is_raised_as_it_is_after_what_flew_has_landed(virtual: Any) -> None:
    def ask(row: int) -> Any:
        if row == 20:
            raise ZeroDivisionError
        return prepared(row)

    one = PoolRun(lambda row, now: Answer(latency=3.0), limits=Limits(concurrency=4), ask=ask)
    with pytest.raises(ZeroDivisionError):
        virtual(lambda: one.run(100))
    assert one.count(Answered) >= 4


def test_one_straggler_does_not_hold_the_others_up(pool_run: Any) -> None:
    result = pool_run(
        lambda row, now: Answer(latency=FOREVER if row == 7 else 0.2),
        1000,
        limits=Limits(concurrency=10),
        policy=Policy(timeouts=Timeouts(total=30.0), attempts=2),
    )
    others = [at for row, at in result.ended_at.items() if row != 7]
    assert max(others) < 1000 * 0.2 / 10 * 1.3
    assert result.took == pytest.approx(60.5, abs=1.0)


def test_prepared_bytes_are_bounded(pool_run: Any) -> None:
    alive = [0, 0]

    def ask(row: int) -> Any:
        alive[0] += 1
        alive[1] = max(alive)
        return prepared(row, body=b"x" * 100_000)

    one = pool_run(
        lambda row, now: Answer(latency=1.0),
        500,
        ask=ask,
        policy=Policy(most_bytes=1_000_000),
        limits=Limits(concurrency=200),
    )
    assert one.wire.most_in_flight <= 10
    assert one.count(Answered) == 500


def test_a_million_rows_are_read_only_as_fast_as_they_are_sent(virtual: Any) -> None:
    read = [0]

    def source() -> Any:
        for row in range(1_000_000):
            read[0] += 1
            yield row

    one = PoolRun(lambda row, now: Answer(latency=1.0), limits=Limits(concurrency=32))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one.run, source())
            await anyio.sleep(10.0)
            one.stop.request_stop("until", 0)

    virtual(main)
    assert read[0] <= len(one.wire.sent) + 40


def test_a_leak_in_a_decoder_is_a_malformed_answer(pool_run: Any) -> None:
    def ask(row: int) -> Any:
        def reader(status: int, headers: Any) -> Any:
            raise KeyError("choices")

        return prepared(row) if row else prepared(row).__class__(request=prepared(row).request, reader=reader)

    result = pool_run(lambda row, now: Answer(), 2, ask=ask)
    assert result.endings[0].fault.kind == "malformed"
    assert "choices" in result.endings[0].fault.message
    assert isinstance(result.endings[1], Answered)


def test_a_suspect_answer_is_a_failure_with_its_reply(pool_run: Any) -> None:
    def check(reply: Any) -> Fault | None:
        return Fault("suspect", "Local.TooShort", "one word", reply=reply)

    result = pool_run(lambda row, now: Answer(), 1, ask=lambda row: prepared(row, check=check))
    assert result.endings[0].fault.reply.text == "ok"
    assert len(result.wire.sent) == 1


def test_a_named_concurrency_of_64_is_reached_in_a_fifth_of_a_second_and_one_of_2000_in_a_second(pool_run: Any) -> None:
    for named, seconds in ((64, 0.25), (2000, 1.1)):
        result = pool_run(lambda row, now: Answer(latency=5.0), 2 * named, limits=Limits(concurrency=named))
        first = [at - result.began for at in result.wire.starts() if at - result.began < 4.0]
        assert len(first) == named
        assert seconds / 3 < max(first) < seconds


def test_rows_that_others_end_hold_no_room_and_no_worker(pool_run: Any) -> None:
    result = pool_run(
        lambda row, now: Answer(),
        500,
        ask=lambda row: prepared(row, body=bytes(1000)) if row % 10 == 0 else None,
        limits=Limits(concurrency=2),
        policy=Policy(most_bytes=4000),
    )
    assert sorted(result.endings) == list(range(0, 500, 10))
    assert (result.pool._memory.rows, result.pool._memory.bytes) == (0, 0)
