"""The loop around a step that is tried again: the one place that knows tenacity."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

R = TypeVar("R")


def load_retrying() -> None:
    """Imports tenacity, which is otherwise left until the first retry."""
    import tenacity  # noqa: F401


async def retrying(
    step: Callable[[], Awaitable[R]], *, wanted: Callable[[BaseException], bool], pause: Callable[[], float]
) -> R:
    """Runs `step` until it returns. After an error, `wanted` says whether the step is run again, and `pause` after
    how many seconds. Raises the last error of the step, unchanged.
    """
    from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

    # tenacity awaits the result of an `async def` alone, from 9.1.4 on; a lambda or a partial gets its coroutine back.
    async def attempt() -> R:
        return await step()

    def wait(_state: RetryCallState) -> float:
        return pause()

    loop = AsyncRetrying(sleep=anyio.sleep, retry=retry_if_exception(wanted), wait=wait, reraise=True)
    try:
        return await loop(attempt)
    finally:
        loop.iter_state.reset()  # else a cycle keeps the request's bytes until the collector comes by
