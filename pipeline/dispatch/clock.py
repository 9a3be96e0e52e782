"""The one clock: `anyio.current_time`, read without looking for its event loop library each time."""

from __future__ import annotations

import asyncio

import anyio


def now() -> float:
    """As `anyio.current_time`, which takes ten times as long (1.4 µs): for what every row reads."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # trio runs
        return anyio.current_time()
