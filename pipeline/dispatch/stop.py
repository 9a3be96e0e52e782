"""Why a run ended, and the handle by which anyone asks it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from pipeline.errors import Fault

Reason = Literal["finished", "budget", "until", "account", "circuit", "signal", "machine"]


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `message` is for people; `fault` is the one that stopped it, if one did."""

    reason: Reason
    message: str = ""
    fault: Fault | None = None


class Stop:
    """Asks a pool to stop: nothing new is sent, what is in flight has `grace` seconds (None = as long as it needs).

    The first reason stands. A second request means now: what is in flight is cut off and left. To be called from the
    event loop's thread (a signal handler of the loop is such a place), before or while the pool runs.
    """

    def __init__(self) -> None:
        self.stopped: Stopped | None = None
        self.grace: float | None = None
        self.now = False
        self._listener: Callable[[], None] | None = None

    def request_stop(
        self, reason: Reason, grace: float | None = None, *, message: str = "", fault: Fault | None = None
    ) -> None:
        """The first call stops within `grace`, a second one at once."""
        if self.stopped is not None:
            self.now = True
        else:
            self.grace = grace
            self.stopped = Stopped(reason=reason, message=message, fault=fault)
        if self._listener is not None:
            self._listener()

    def drain(self, reason: Reason, *, message: str = "", fault: Fault | None = None) -> None:
        """The run's own reason to stop: never hurries a stop that is under way."""
        if self.stopped is None:
            self.request_stop(reason, message=message, fault=fault)

    def listen(self, listener: Callable[[], None]) -> None:
        """The pool's: `listener` is called at each request, and at once if one was made already."""
        self._listener = listener
        if self.stopped is not None:
            listener()
