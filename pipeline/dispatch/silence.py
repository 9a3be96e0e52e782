"""When a run must stop because the service is dead: it is not reached any more, or never answered anything."""

from __future__ import annotations

import anyio

from pipeline.errors import Fault

UNHEARD = frozenset(f"Local.{name}" for name in ("ConnectFailed", "ConnectTimeout", "ProxyFailed"))
"""Attempts that ended without a connection. All others heard of the service: a connection is open as long as the
request on it is inside its timeouts."""

_PASSING = frozenset({503, 529})
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
    return fault.kind == "transient" and (fault.http_status or 0) >= 500 and fault.http_status not in _PASSING
