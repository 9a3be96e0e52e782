"""Signals outside of a run's sending: they end the command as Ctrl-C does, so that what it holds is given back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal asked this command to end. `code`: the exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Each of ENDING raises Ended in the main thread. One that is ignored (nohup) stays ignored."""
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.default_int_handler if handler is None else handler)


def _end(number: int, _: FrameType | None) -> None:
    raise Ended(number)
