"""Loads in threads: quick ones share a trip, slow ones hold nobody up, and each caller gets what is its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from pipeline.run.thread_batcher import THREADS, ThreadBatcher

SOON = 10.0


def together(*calls: Callable[[], Any]) -> list[Any]:
    """What each gave or raised, all asked at once of one set of loaders."""
    outcomes: list[Any] = [None] * len(calls)
    loaders = ThreadBatcher()

    async def one(at: int) -> None:
        try:
            outcomes[at] = await loaders.run(calls[at])
        except Exception as error:
            outcomes[at] = error

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for at in range(len(calls)):
                group.start_soon(one, at)

    anyio.run(main)
    return outcomes


def test_each_caller_gets_its_own_result_or_error() -> None:
    def even(number: int) -> int:
        if number % 2:
            raise ValueError(number)
        return number

    outcomes = together(*(lambda number=number: even(number) for number in range(300)))
    assert [str(outcome) for outcome in outcomes] == [str(number) for number in range(300)]
    assert all(isinstance(outcome, ValueError) for outcome in outcomes[1::2])


def test_quick_calls_share_a_trip_to_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    trips = []
    real = anyio.to_thread.run_sync

    async def counted(*args: Any, **options: Any) -> Any:
        trips.append(args)
        return await real(*args, **options)

    monkeypatch.setattr("pipeline.run.thread_batcher.anyio.to_thread.run_sync", counted)
    assert together(*(threading.get_ident for _ in range(200)))
    assert len(trips) < 100


def test_calls_that_take_long_run_side_by_side_up_to_the_number_of_threads() -> None:
    everybody = threading.Barrier(THREADS)
    inside = threading.Semaphore(THREADS)

    def meets_the_others() -> bool:
        alone = inside.acquire(blocking=False)
        try:
            everybody.wait(SOON)
        finally:
            inside.release()
        return alone

    assert together(*(meets_the_others for _ in range(2 * THREADS))) == [True] * 2 * THREADS


def test_a_call_that_hangs_holds_nobody_up() -> None:
    go_on = threading.Event()

    def hangs() -> bool:
        return go_on.wait(SOON)

    assert together(hangs, *(lambda: None for _ in range(50)), go_on.set) == [True, *[None] * 51]


@pytest.mark.parametrize("leaving", [0, 1, 2], ids=["the one at work", "the next one", "a later one"])
def test_a_caller_that_is_cancelled_takes_nobody_along(leaving: int) -> None:
    started, go_on, given = threading.Event(), threading.Event(), []

    async def main() -> None:
        loaders = ThreadBatcher()

        async def one(number: int, scope: anyio.CancelScope) -> None:
            def call() -> int:
                started.set()
                go_on.wait(SOON)
                return number

            with scope:
                given.append(await loaders.run(call))

        scopes = [anyio.CancelScope() for _ in range(6)]
        async with anyio.create_task_group() as group:
            for number, scope in enumerate(scopes):
                group.start_soon(one, number, scope)
            await anyio.to_thread.run_sync(started.wait)
            scopes[leaving].cancel()
            await anyio.wait_all_tasks_blocked()
            go_on.set()
        assert await loaders.run(lambda: "still there") == "still there"

    anyio.run(main)
    assert sorted({*given} | {leaving}) == [*range(6)]


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    made: list[Any] = []
    started, go_on = threading.Event(), threading.Event()

    async def main() -> None:
        loaders, leaving = ThreadBatcher(most=1), anyio.CancelScope()

        def first() -> None:
            started.set()
            go_on.wait(SOON)

        async def second() -> None:
            with leaving:
                await loaders.run(made.append, "second")

        async with anyio.create_task_group() as group:
            group.start_soon(loaders.run, first)
            await anyio.to_thread.run_sync(started.wait)
            group.start_soon(second)
            group.start_soon(loaders.run, made.append, "third")
            await anyio.wait_all_tasks_blocked()
            leaving.cancel()
            await anyio.wait_all_tasks_blocked()
            go_on.set()

    anyio.run(main)
    assert made == ["third"]


def test_an_error_leaves_nothing_behind_that_holds_the_call() -> None:
    import gc
    import weakref

    class Picture:
        pass

    seen: list[weakref.ref[Picture]] = []

    async def main() -> None:
        picture = Picture()
        seen.append(weakref.ref(picture))

        def fails(picture: Picture) -> None:
            raise ValueError("no picture")

        with pytest.raises(ValueError, match="no picture"):
            await ThreadBatcher().run(fails, picture)

    gc.disable()
    try:
        anyio.run(main)
        assert seen[0]() is None
    finally:
        gc.enable()
