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
    """How a run ended. `message` is for people. `fault` is the fault that stopped the run, None if no fault did."""

    reason: Reason
    message: str = ""
    fault: Fault | None = None


class Stop:
    """A request to stop a pool. Nothing new is sent, and requests in flight have `grace` seconds (None = no bound).

    The first reason is kept. After a second request, requests in flight are cut off and their rows remain. Must be
    called from the event loop's thread (for example a signal handler of the loop), before or while the pool runs.
    """

    def __init__(self) -> None:
        self.stopped: Stopped | None = None
        self.grace: float | None = None
        self.now = False
        self._listener: Callable[[], None] | None = None

    def request_stop(
        self, reason: Reason, grace: float | None = None, *, message: str = "", fault: Fault | None = None
    ) -> None:
        """Requests a stop. The first call stops the run within `grace` seconds, a second call stops the run at once."""
        if self.stopped is not None:
            self.now = True
        else:
            self.grace = grace
            self.stopped = Stopped(reason=reason, message=message, fault=fault)
        if self._listener is not None:
            self._listener()

    def drain(self, reason: Reason, *, message: str = "", fault: Fault | None = None) -> None:
        """Stops for a reason of the run itself. A stop that was already requested is not changed."""
        if self.stopped is None:
            self.request_stop(reason, message=message, fault=fault)

    def listen(self, listener: Callable[[], None]) -> None:
        """Calls `listener` at each request to stop, and at once if a stop was requested already. The pool uses this
        method."""
        self._listener = listener
        if self.stopped is not None:
            listener()


T = TypeVar("T")

BROKEN = frozenset({"throttled", "transient", "malformed", "rejected"})
"""Faults that say something about the service or the job. Blocked and suspect answers are about an image."""

_TEMPORARY = frozenset({"throttled", "transient", "malformed"})
_ID = re.compile(r"[\w.:/-]*\d[\w.:/-]*")


class Circuit:
    """Opens when at least the share `ratio` of the last `min_calls` calls that were sent has failed."""

    def __init__(self, ratio: float, min_calls: int) -> None:
        self._ratio = ratio
        self._calls: deque[bool] = deque(maxlen=max(1, min_calls))
        self._failed = 0

    def ended(self, fault: Fault | None) -> bool:
        """Counts one call that was sent. Returns True if the circuit opens."""
        calls = self._calls
        broken = fault is not None and fault.kind in BROKEN
        if len(calls) == calls.maxlen:
            self._failed -= calls[0]
        calls.append(broken)
        self._failed += broken
        return len(calls) == calls.maxlen and self._failed >= self._ratio * len(calls)

    def message(self, fault: Fault) -> str:
        """Returns a text for people: the counts and the last fault."""
        return f"{self._failed} of the last {len(self._calls)} calls failed, the last one with {fault}"


class FirstCalls(Generic[T]):
    """The first calls of a run. If the first `most` calls are all refused alike, the job is wrong and not the rows.

    Until this is known, the refusals are withheld. A call with another ending (an answer, a blocked or suspect answer,
    a refusal with another message) shows that the job can work. Then the refusals are failures of their rows. Otherwise
    the rows remain, so that a run of the corrected job sends them again. Temporary faults (throttled, transient,
    malformed) and rows that were refused before they were sent do not count. most: 0 withholds nothing. withheld: set
    when a refusal is withheld.
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
        """Takes the ending of a row. Returns the rows whose endings are known now. Sets `refusal` if the run must
        stop."""
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
        """Returns the withheld rows: as remaining rows, or as failures. The count of calls continues."""
        held, self._held = self._held, []
        return [(item, Left(attempts=ending.attempts) if left else ending) for item, ending in held]

    def message(self) -> str:
        """Returns a text for people: the refusal, the number of calls, and the settings to check."""
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
    """Tells whether a row's ending says something about the job: the row was sent, and did not end with a temporary
    fault."""
    if isinstance(ending, Answered):
        return True
    return isinstance(ending, Failed) and bool(ending.attempts) and ending.fault.kind not in _TEMPORARY


UNHEARD = frozenset(f"Local.{name}" for name in ("ConnectFailed", "ConnectTimeout", "ProxyFailed"))
"""Faults of attempts that got no connection. All other faults show that the service can be reached."""

_OVERLOADED = frozenset({503, 529})
"""Statuses of a server that is busy or loads its model: the run waits for such a server."""

BLIPS = 5
"""Fewer attempts do not show an outage, even over a long time, because a low rate or a pause may lie between them."""


class Silence:
    """Measures how long the service has been unreachable. Until the first answer of the run, a 5xx and a dropped
    connection count as unreachable too, because a service that never answered may be the wrong one.

    seconds: the longest silence (`circuit.silence`); 0: no bound.
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
        """Takes the result of an attempt that has ended."""
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
        """Leaves out `seconds` for which the process slept."""
        if self._since is not None:
            self._since += seconds

    def left(self, now: float) -> float | None:
        """Returns the seconds until the longest silence is reached. Without a silence, renews `begun` and returns
        None."""
        if self._since is None or self._count < BLIPS:
            self.begun = anyio.Event()
            return None
        return self._since + self._seconds - now

    def message(self) -> str:
        """Returns a text for people: the seconds, the number of attempts, and the settings to check."""
        assert self._last is not None
        what = "the service never answered, and" if self._reached else "nothing was heard of the service, and"
        ended = "with errors" if self._reached else "without a connection"
        return (
            f"{what} {self._count} attempts in {self._seconds:g} s (circuit.silence) ended {ended}, the last one with "
            f"{self._last}. The rows that are left are for a later run: check the network, provider.base_url and that "
            "the service runs"
        )


def _is_broken(fault: Fault) -> bool:
    """Tells whether the fault is a server error or a dropped connection. Timeouts and busy servers are neither."""
    if fault.code == "Local.Disconnected":
        return True
    return fault.kind == "transient" and (fault.http_status or 0) >= 500 and fault.http_status not in _OVERLOADED
