"""The number of connections that the machine allows, and retries while the machine is short of resources."""

from __future__ import annotations

import os
import resource
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import anyio

from pipeline.errors import Fault
from pipeline.machine import SHORT, is_scarce, machine_error_of

R = TypeVar("R")

MOST = 65_536
"""The soft limit is not raised above this number, because child processes may close every descriptor number up to the
limit."""
RESERVED = 32
"""Descriptors for other uses: the journal, parts, images that are read, name lookups, modules, SQLite."""
UNKNOWN_OPEN = 32
PATIENCE_SECONDS = 30.0
"""How long a step is tried again while the machine is short. Rows in flight end in the meantime and free resources."""


def raise_limit() -> None:
    """Raises the soft limit of open files to the hard limit (at most MOST), as far as the system allows. The limit
    stays raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST if hard == resource.RLIM_INFINITY else min(hard, MOST)
    for wanted in (most, min(most, 10_240)):  # macOS refuses more than OPEN_MAX, whatever the hard limit is
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                return


def connection_limit(*, beside: bool = False) -> int:
    """Returns how many calls may be in flight with the descriptors that are left; at least 1.

    beside: further connections are made to prepare rows (uploads, downloads), about a quarter of those in flight.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MOST
    left = soft - _open_now()
    for_calls = max(1, left - RESERVED, left // 3)
    return max(1, for_calls * 2 // 3) if beside else for_calls


def exhausted() -> bool:
    """Tells whether no descriptor is left. A name lookup that fails for this reason raises another error."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return is_scarce(error)
    return False


async def patiently(step: Callable[[], Awaitable[R]]) -> R:
    """Returns the result of `step`. While the machine is short of descriptors, memory or threads, tries `step` again.

    Raises MachineError when the shortage lasts for PATIENCE_SECONDS. Raises any other error of `step` at once.
    """
    until: float | None = None
    pause = 0.05
    while True:
        try:
            return await step()
        except Exception as error:
            if not (is_scarce(error) or (isinstance(error, Fault) and error.code == SHORT)):
                raise
            until = anyio.current_time() + PATIENCE_SECONDS if until is None else until
            if anyio.current_time() >= until:
                raise machine_error_of(error) or error from error
        await anyio.sleep(pause)
        pause = min(2 * pause, 2.0)


def _open_now() -> int:
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - numbers, not paths
    except OSError:
        return UNKNOWN_OPEN
