"""When the service has not been heard of for so long that the network, the address or the machine behind it is dead."""

from __future__ import annotations

import anyio

from pipeline.errors import Fault

UNHEARD = frozenset(f"Local.{name}" for name in ("ConnectFailed", "ConnectTimeout", "ProxyFailed"))
"""Attempts that ended without a connection. All others heard of the service: a connection is open as long as the
request on it is inside its timeouts."""

BLIPS = 5
"""Fewer attempts say nothing, however long ago the first of them was: a low rate or a pause lay between them."""


class Silence:
    """Watches the attempts of one run.

    seconds: how long nothing may be heard (`circuit.silence`); 0: for ever.
    """

    def __init__(self, seconds: float) -> None:
        self.begun = anyio.Event()
        self._seconds = seconds
        self._since: float | None = None
        self._count = 0
        self._last: Fault | None = None

    def landed(self, now: float, fault: Fault | None) -> None:
        """An attempt is over."""
        if fault is None or fault.code not in UNHEARD:
            self._since, self._count = None, 0
            return
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

    def words(self) -> str:
        """For people: for how long, what was tried, what to check."""
        assert self._last is not None
        return (
            f"nothing was heard of the service for {self._seconds:g} s (circuit.silence): {self._count} attempts ended "
            f"without a connection, the last one with {self._last}. The rows that are left are for a later run: check "
            "the network, provider.base_url and that the service runs"
        )
