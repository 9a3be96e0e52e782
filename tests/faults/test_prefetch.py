"""Rows are read in a thread ahead of the pool: bounded, in order, with their errors, and no longer than the run."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from support.scripted import Answer, ScriptedWire, prepared

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prefetch import END, NOT_READY, Prefetcher
from pipeline.dispatch.stop import Stop, Stopped
from pipeline.errors import ManifestError

Source = Callable[[Callable[[], bool]], Iterator[int]]


def fan_out(source: Source, *, most: int = 64, stop: Stop | None = None) -> tuple[Stopped, list[int], Prefetcher[int]]:
    """A pool over what `source` reads, answers taking a millisecond."""
    rows: list[int] = []

    async def ask(row: int) -> Any:
        return prepared(row)

    async def main() -> tuple[Stopped, Prefetcher[int]]:
        wire = ScriptedWire(lambda row, now: Answer(latency=0.001))
        pool: Pool[int] = Pool(transport=wire, account=Account(Limits(concurrency=16)), stop=stop)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as beside:
                with Prefetcher(source, most) as ahead:
                    beside.start_soon(ahead.read)
                    stopped = await pool.run(ahead, ask, lambda row, ending: rows.append(row))
                beside.cancel_scope.cancel()
        return stopped, ahead

    stopped, ahead = asyncio.run(main())
    return stopped, rows, ahead


def test_every_row_comes_once_and_the_reading_is_in_another_thread() -> None:
    threads: set[int] = set()

    def source(going: Callable[[], bool]) -> Iterator[int]:
        for row in range(1000):
            threads.add(threading.get_ident())
            yield row

    stopped, rows, _ = fan_out(source)
    assert stopped.reason == "finished"
    assert sorted(rows) == list(range(1000))
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65])
def test_short_manifests_end(count: int) -> None:
    assert sorted(fan_out(lambda going: iter(range(count)))[1]) == list(range(count))


def test_an_error_of_the_manifest_reaches_the_run_after_the_rows_before_it() -> None:
    ended: list[int] = []

    def source(going: Callable[[], bool]) -> Iterator[int]:
        yield from range(10)
        raise ManifestError("line 11: the manifest was rewritten")

    async def main() -> None:
        async def ask(row: int) -> Any:
            return prepared(row)

        pool: Pool[int] = Pool(transport=ScriptedWire(lambda row, now: Answer(latency=0.001)), account=Account())
        async with anyio.create_task_group() as beside:
            with Prefetcher(source) as ahead:
                beside.start_soon(ahead.read)
                try:
                    await pool.run(ahead, ask, lambda row, ending: ended.append(row))
                finally:
                    beside.cancel_scope.cancel()

    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(main())
    assert caught.group_contains(ManifestError, match="rewritten")
    assert sorted(ended) == list(range(10))


def test_the_end_is_never_seen_before_the_last_rows() -> None:
    started, go, ended = threading.Event(), threading.Event(), threading.Event()

    def source(going: Callable[[], bool]) -> Iterator[int]:
        started.set()
        assert go.wait(5)
        yield from range(3)
        ended.set()

    async def main() -> list[int]:
        rows: list[int] = []
        async with anyio.create_task_group() as beside:
            with Prefetcher(source) as ahead:
                beside.start_soon(ahead.read)
                while not started.is_set():
                    await anyio.lowlevel.checkpoint()
                go.set()
                # The loop stands still here: what the thread has read cannot have been handed over yet.
                assert ended.wait(5)
                until = time.monotonic() + 0.05
                while time.monotonic() < until:
                    assert ahead.poll() is NOT_READY
                while (row := ahead.poll()) is not END:
                    if isinstance(row, int):
                        rows.append(row)
                    else:
                        await ahead.wait()
            beside.cancel_scope.cancel()
        return rows

    assert asyncio.run(main()) == [0, 1, 2]


def test_no_more_is_read_than_the_bound() -> None:
    read: list[int] = []

    def source(going: Callable[[], bool]) -> Iterator[int]:
        for row in itertools.count():
            read.append(row)
            yield row

    async def main() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        async with anyio.create_task_group() as beside:
            with Prefetcher(source, 64) as ahead:
                beside.start_soon(ahead.read)
                for taken in range(300):
                    while (row := ahead.poll()) is NOT_READY:
                        await ahead.wait()
                    assert row == taken
                    seen.append((taken + 1, len(read)))
                    await anyio.lowlevel.checkpoint()
            beside.cancel_scope.cancel()
        return seen

    assert max(had - taken for taken, had in asyncio.run(main())) <= 64


def test_a_stop_ends_the_thread_though_it_finds_no_row() -> None:
    stop = Stop()
    ended: list[bool] = []
    loop: asyncio.AbstractEventLoop

    def source(going: Callable[[], bool]) -> Iterator[int]:
        yield 0
        asked = itertools.takewhile(lambda _: going(), itertools.count())
        for step in asked:
            if step == 1000:
                loop.call_soon_threadsafe(stop.request_stop, "signal", 1.0)
        ended.append(True)

    async def ask(row: int) -> Any:
        return prepared(row)

    async def main() -> Stopped:
        nonlocal loop
        loop = asyncio.get_running_loop()
        pool: Pool[int] = Pool(
            transport=ScriptedWire(lambda row, now: Answer(latency=0.001)), account=Account(), stop=stop
        )
        with anyio.fail_after(30):
            async with anyio.create_task_group() as beside:
                with Prefetcher(source) as ahead:
                    beside.start_soon(ahead.read)
                    stopped = await pool.run(ahead, ask, lambda row, ending: None)
                beside.cancel_scope.cancel()
        return stopped

    assert asyncio.run(main()).reason == "signal"
    assert ended == [True]
