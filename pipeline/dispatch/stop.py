"""Why a run ends: a request to stop, too many failures, or a service that does not answer."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

import anyio
import msgspec

from pipeline.errors import Fault
from pipeline.types import Answered, Ending, Failed, Left

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


T = TypeVar("T")

BROKEN = frozenset({"throttled", "transient", "malformed", "rejected"})
"""Faults that speak of the service or the job. Blocked and suspect answers speak of a picture."""

_TEMPORARY = frozenset({"throttled", "transient", "malformed"})
_ID = re.compile(r"[\w.:/-]*\d[\w.:/-]*")


class Circuit:
    """Opens when, of the last `min_calls` calls that were sent, at least `ratio` failed."""

    def __init__(self, ratio: float, min_calls: int) -> None:
        self._ratio = ratio
        self._calls: deque[bool] = deque(maxlen=max(1, min_calls))
        self._failed = 0

    def ended(self, fault: Fault | None) -> bool:
        """Counts one call that was sent; True when the circuit opens."""
        calls = self._calls
        broken = fault is not None and fault.kind in BROKEN
        if len(calls) == calls.maxlen:
            self._failed -= calls[0]
        calls.append(broken)
        self._failed += broken
        return len(calls) == calls.maxlen and self._failed >= self._ratio * len(calls)

    def message(self, fault: Fault) -> str:
        """For people: the counts and the last fault."""
        return f"{self._failed} of the last {len(self._calls)} calls failed, the last one with {fault}"


class FirstCalls(Generic[T]):
    """The beginning of a run: when its first `most` calls are all refused alike, the job is wrong and not the rows.

    Until it is known, the refusals are held back. A call that ends otherwise shows that the job can work (an answer, a
    blocked or suspect one, a refusal in other words): then they are the failures of their rows. Else they are left, so
    that a run of the mended job sends them again. What passes (throttled, transient, malformed) and rows that were
    refused here, before anything was sent, say nothing of it. `most` = 0: nothing is held back.
    """

    def __init__(self, most: int) -> None:
        self.refusal: Fault | None = None
        self.withheld = anyio.Event()
        self._most = most
        self._count = 0
        self._held: list[tuple[T, Failed]] = []
        self._alike: tuple[str, str] | None = None
        self._watching = most > 0

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def ended(self, item: T, ending: Ending) -> list[tuple[T, Ending]]:
        """One row is over. Returns the rows whose endings are known now; `refusal` is set when the run must stop."""
        if not self._watching or not _is_call(ending):
            return [(item, ending)]
        if isinstance(ending, Failed) and ending.fault.kind == "rejected" and self._is_like(ending.fault):
            self._held.append((item, ending))
            self.withheld.set()
            self._count += 1
            if self.refusal is None and self._count >= self._most:
                self.refusal = ending.fault
            return self.rest(left=True) if self.refusal is not None else []
        if self.refusal is not None:
            return [(item, ending)]
        self._watching = False
        return [*self.rest(left=False), (item, ending)]

    def rest(self, *, left: bool) -> list[tuple[T, Ending]]:
        """What is held back: as rows that are left, or as the failures that they are. The count goes on."""
        held, self._held = self._held, []
        return [(item, Left(attempts=ending.attempts) if left else ending) for item, ending in held]

    def message(self) -> str:
        """For people: what was refused, how often, what to check."""
        return (
            f"the first {self._most} calls were all refused alike, with {self.refusal}. Their rows are left, for it is "
            "the job that is refused: check provider.model, provider.base_url, provider.parameters and the prompt, "
            "then run again; circuit.refusals = 0 sends the rows all the same"
        )

    def _is_like(self, fault: Fault) -> bool:
        alike = fault.code, _ID.sub("#", fault.message)
        self._alike = self._alike or alike
        return alike == self._alike


def _is_call(ending: Ending) -> bool:
    """Whether a row's ending says anything of the job: it was sent, and came back with more than a passing fault."""
    if isinstance(ending, Answered):
        return True
    return isinstance(ending, Failed) and bool(ending.attempts) and ending.fault.kind not in _TEMPORARY


UNHEARD = frozenset(f"Local.{name}" for name in ("ConnectFailed", "ConnectTimeout", "ProxyFailed"))
"""Attempts that ended without a connection. All others heard of the service: a connection is open as long as the
request on it is inside its timeouts."""

_OVERLOADED = frozenset({503, 529})
"""Statuses of a server that is busy or loads its model: it is waited for."""

BLIPS = 5
"""Fewer attempts say nothing, however long ago the first of them was: a low rate or a pause lay between them."""


class Silence:
    """Watches the attempts of one run. Until its first answer, a 5xx and a connection that is dropped count like one
    that is not made: what never worked is no outage.

    seconds: how long nothing may be heard (`circuit.silence`); 0: for ever.
    """

    def __init__(self, seconds: float) -> None:
        self.begun = anyio.Event()
        self._seconds = seconds
        self._since: float | None = None
        self._count = 0
        self._last: Fault | None = None
        self._answered = False
        self._reached = False

    def attempt_ended(self, now: float, fault: Fault | None) -> None:
        """An attempt is over."""
        if fault is None or fault.kind not in ("transient", "throttled"):
            self._answered = True
        if fault is None or not (fault.code in UNHEARD or (not self._answered and _is_broken(fault))):
            self._since, self._count, self._reached = None, 0, False
            return
        self._reached |= fault.code not in UNHEARD
        self._count += 1
        self._last = fault
        if self._since is None:
            self._since = now
        if self._seconds and self._count >= BLIPS:
            self.begun.set()

    def slept(self, seconds: float) -> None:
        """The process slept for so long: nothing could be heard."""
        if self._since is not None:
            self._since += seconds

    def left(self, now: float) -> float | None:
        """Seconds until the silence has lasted long enough; None when it is over, and `begun` is new."""
        if self._since is None or self._count < BLIPS:
            self.begun = anyio.Event()
            return None
        return self._since + self._seconds - now

    def message(self) -> str:
        """For people: for how long, what was tried, what to check."""
        assert self._last is not None
        what = "the service never answered, and" if self._reached else "nothing was heard of the service, and"
        ended = "with errors" if self._reached else "without a connection"
        return (
            f"{what} {self._count} attempts in {self._seconds:g} s (circuit.silence) ended {ended}, the last one with "
            f"{self._last}. The rows that are left are for a later run: check the network, provider.base_url and that "
            "the service runs"
        )


def _is_broken(fault: Fault) -> bool:
    """A server's own error, or a connection that was dropped; no time that ran out, and no server that is busy."""
    if fault.code == "Local.Disconnected":
        return True
    return fault.kind == "transient" and (fault.http_status or 0) >= 500 and fault.http_status not in _OVERLOADED
