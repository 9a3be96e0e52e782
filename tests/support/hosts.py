"""Hosts of pictures on loopback ports, beside a job that runs in the test's own thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from support.fault_server import Act, Asked, FaultServer
from support.fault_server import serving as serving_in_loop


@contextmanager
def host(script: Callable[[Asked], Act]) -> Iterator[FaultServer]:
    """A host that acts by `script`, in a thread of its own."""
    ready, over = Event(), asyncio.Event()
    found: list[tuple[FaultServer, asyncio.AbstractEventLoop]] = []

    async def main() -> None:
        async with serving_in_loop(script) as server:
            found.append((server, asyncio.get_running_loop()))
            ready.set()
            await over.wait()

    thread = Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(20)
    server, loop = found[0]
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
