"""The clock of the event loop, for what every row reads."""

from __future__ import annotations

import asyncio

import anyio


def now() -> float:
    """The seconds of `anyio.current_time`, which takes ten times as long (1.4 µs) to find its event loop library."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # trio runs
        return anyio.current_time()
