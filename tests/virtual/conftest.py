"""Runs coroutines on trio's MockClock: hours pass in milliseconds, exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import trio
from support.pool_run import PoolRun
from support.scripted import Answer
from trio.testing import MockClock


def on_mock_clock(function: Callable[[], Any]) -> Any:
    # Not by anyio.run: before 4.14 it gives trio none of its options.
    return trio.run(function, clock=MockClock(autojump_threshold=0))


@pytest.fixture(scope="session")
def virtual() -> Callable[[Callable[[], Any]], Any]:
    """virtual(coroutine_function) runs it to its end on a clock that jumps over waiting."""
    return on_mock_clock


@pytest.fixture(scope="session")
def pool_run() -> Callable[..., PoolRun]:
    """pool_run(script, rows, **settings) runs a pool on the mock clock and returns the PoolRun."""

    def run(script: Callable[[int, float], Answer], rows: int | Iterable[int], **settings: Any) -> PoolRun:
        async def main() -> PoolRun:
            return await PoolRun(script, **settings).run(rows)

        result: PoolRun = on_mock_clock(main)
        return result

    return run
