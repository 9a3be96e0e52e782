"""When the first calls of a run are all refused alike, the run stops and leaves the rows, whatever the words are."""

from __future__ import annotations

from typing import Any

import pytest
from support.scripted import Answer, prepared

from pipeline.dispatch.account import Limits
from pipeline.dispatch.prepared_request import Policy
from pipeline.errors import Fault, FaultKind, refusal
from pipeline.types import Answered, Failed, Left

FIRST = 20
ONE_BY_ONE = Limits(concurrency=1)


def fault(message: str, kind: FaultKind = "rejected", code: str = "Http400", **more: Any) -> Fault:
    return Fault(kind, code, message, http_status=400, **more)


def refused(message: str = "Invalid model name passed in model=x", **more: Any) -> Answer:
    return Answer(fault=fault(message, **more))


def test_the_run_stops_and_leaves_every_row(pool_run: Any) -> None:
    result = pool_run(lambda row, now: refused(), 1000)
    assert result.stopped.reason == "circuit"
    assert len(result.wire.sent) <= FIRST + 2 * FIRST, "those in flight when the twentieth came back"
    assert result.count(Left) == len(result.endings) >= FIRST
    assert sum(bool(ending.attempts) for ending in result.endings.values()) == len(result.wire.sent)


def test_the_message_says_what_was_refused_and_what_to_check(pool_run: Any) -> None:
    result = pool_run(lambda row, now: refused("no such thing as plum"), 1000, limits=ONE_BY_ONE)
    message = result.stopped.message
    for words in ("first 20 calls", "Http400", "no such thing as plum", "provider.model", "circuit.refusals"):
        assert words in message
    assert result.stopped.fault is not None
    assert len(result.wire.sent) == FIRST


@pytest.mark.parametrize(
    "words",
    [
        "request {0} refused",
        "request id: chatcmpl-{0:08x}-9f, see the log",
        "550e8400-e29b-41d4-a716-44665544{0:04d} was refused",
        "(as-wbx2{0}eriqh) the model is not served",
    ],
)
def test_digits_and_ids_do_not_make_another_refusal(pool_run: Any, words: str) -> None:
    result = pool_run(lambda row, now: refused(words.format(row)), 1000, limits=ONE_BY_ONE)
    assert (result.stopped.reason, len(result.wire.sent)) == ("circuit", FIRST)


def test_refusals_of_different_words_are_failures_of_their_rows(pool_run: Any) -> None:
    names = ["apple", "plum"]
    result = pool_run(lambda row, now: refused(f"no {names[row % 2]}"), 30, limits=ONE_BY_ONE)
    assert result.stopped.reason == "finished"
    assert result.count(Failed) == 30


@pytest.mark.parametrize("odd", [0, 7, 18])
def test_one_answer_among_the_first_makes_the_others_failures(pool_run: Any, odd: int) -> None:
    result = pool_run(lambda row, now: Answer() if row == odd else refused(), 40, limits=ONE_BY_ONE)
    assert result.stopped.reason == "finished"
    assert (result.count(Failed), result.count(Answered)) == (39, 1)


@pytest.mark.parametrize("kind", ["blocked", "suspect"])
def test_what_speaks_of_one_picture_shows_that_the_job_works(pool_run: Any, kind: FaultKind) -> None:
    result = pool_run(lambda row, now: refused(kind=kind) if row == 5 else refused(), 40, limits=ONE_BY_ONE)
    assert result.count(Failed) == 40
    every = pool_run(lambda row, now: refused(kind=kind), 60, limits=ONE_BY_ONE)
    assert (every.stopped.reason, every.count(Failed)) == ("finished", 60)


@pytest.mark.parametrize("kind", ["transient", "throttled", "malformed"])
def test_what_passes_says_nothing_of_the_job(pool_run: Any, kind: FaultKind) -> None:
    result = pool_run(lambda row, now: refused(kind=kind) if row % 4 == 1 else refused(), 1000, limits=ONE_BY_ONE)
    assert result.stopped.reason == "circuit"
    assert 20 <= len(result.wire.sent) <= 28
    assert sum(isinstance(ending, Failed) for ending in result.endings.values()) == result.count(Failed) <= 8


def test_rows_that_are_refused_here_do_not_count_as_calls(pool_run: Any) -> None:
    def ask(row: int) -> Any:
        if row < 100:
            raise refusal("NotAPicture", "no picture")
        return prepared(row)

    result = pool_run(lambda row, now: refused(), 1000, ask=ask, limits=ONE_BY_ONE)
    assert result.stopped.reason == "circuit"
    assert len(result.wire.sent) == FIRST
    assert result.count(Failed) == 100


def test_fewer_rows_than_that_just_fail(pool_run: Any) -> None:
    result = pool_run(lambda row, now: refused(), FIRST - 1)
    assert (result.stopped.reason, result.count(Failed)) == ("finished", FIRST - 1)
    assert all(ending.attempts for ending in result.endings.values())


def test_after_the_first_calls_refusals_are_failures(pool_run: Any) -> None:
    policy = Policy(circuit_ratio=2.0)
    result = pool_run(lambda row, now: Answer() if row == 0 else refused(), 200, policy=policy, limits=ONE_BY_ONE)
    assert (result.stopped.reason, result.count(Failed)) == ("finished", 199)


@pytest.mark.parametrize("most", [0, 5, 50])
def test_how_many_is_a_setting_and_none_switches_it_off(pool_run: Any, most: int) -> None:
    policy = Policy(circuit_ratio=2.0, circuit_refusals=most)
    result = pool_run(lambda row, now: refused(), 100, policy=policy, limits=ONE_BY_ONE)
    if most:
        assert (result.stopped.reason, len(result.wire.sent), result.count(Failed)) == ("circuit", most, 0)
    else:
        assert (result.stopped.reason, result.count(Failed)) == ("finished", 100)


def test_an_account_fault_leaves_what_was_refused_before_it(pool_run: Any) -> None:
    def script(row: int, now: float) -> Answer:
        return refused("Budget has been exceeded", kind="account") if row == 6 else refused()

    result = pool_run(script, 100, limits=ONE_BY_ONE)
    assert result.stopped.reason == "account"
    assert result.count(Left) == len(result.endings)
    assert len(result.wire.sent) == 7


def test_a_stop_by_a_person_keeps_what_was_refused_as_failures(virtual: Any) -> None:
    import anyio
    from support.pool_run import PoolRun

    one = PoolRun(lambda row, now: refused(), limits=ONE_BY_ONE)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(one.run, 1000)
            await anyio.sleep(1.1)
            one.stop.request_stop("signal", 10.0)

    virtual(main)
    assert one.count(Failed) == len(one.wire.sent) == 6


def test_what_is_held_back_is_recorded_when_nothing_is_on_its_way(virtual: Any) -> None:
    """A source that waits for the outcome of a row that it gave gets it."""
    import anyio
    from support.pool_run import PoolRun
    from support.scripted import ScriptedWire

    from pipeline.dispatch.prefetch import END, NOT_READY

    one = PoolRun(lambda row, now: refused(), limits=ONE_BY_ONE)
    assert isinstance(one.wire, ScriptedWire)

    class Waiting:
        """Gives a third row after the first two have ended."""

        rows = iter(range(3))

        def poll(self) -> Any:
            given = len(one.wire.sent)
            return NOT_READY if given == 2 and len(one.endings) < 2 else next(self.rows, END)

        async def wait(self) -> None:
            await anyio.sleep(0.1)

    virtual(lambda: one.run(Waiting()))
    assert one.count(Failed) == 3
    assert one.took < 5


def test_rows_held_back_hold_no_room_for_others(pool_run: Any) -> None:
    """Bytes of rows that are over count no more, also while it is open how they ended."""
    big = Policy(most_bytes=1000)
    result = pool_run(
        lambda row, now: refused() if row < 19 else Answer(),
        40,
        policy=big,
        ask=lambda row: prepared(row, body=b"x" * 300),
    )
    assert (result.count(Failed), result.count(Answered)) == (19, 21)
