"""The figures of a running job, and the interface of the displays that show them."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

import msgspec

from pipeline.counters import Counters, Gauges, counts


class RunState(Counters, kw_only=True):
    """The counters of one run, updated as rows end, and the gauges of its pool.

    `total`: rows to send in this run. `skipped`: rows of the manifest that need nothing. `reasons`: failed rows by
    code. `max_cost`: the budget of the run, None without one.
    """

    total: int = 0
    skipped: int = 0
    reasons: dict[str, int] = {}
    max_cost: float | None = None
    gauges: Gauges = Gauges()

    @property
    def ended(self) -> int:
        return self.answered + self.shared + self.failed

    def figures(self) -> dict[str, Any]:
        """Returns all counters and gauges by name, for logs and the summary file."""
        own = {"total": self.total, "skipped": self.skipped, "unknown_cost": self.unknown_cost_attempts}
        return own | counts(self) | msgspec.structs.asdict(self.gauges)


def money(amount: float | None, currency: str | None) -> str:
    """Returns an amount for people: "0.0265 CNY"; "unknown" for None."""
    if amount is None:
        return "unknown"
    digits = f"{amount:.2f}" if amount >= 10 or amount == 0 else f"{amount:.4g}"
    return f"{digits} {currency}" if currency else digits


def span(seconds: float) -> str:
    """Returns a duration for people: "4.2 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, noun: str) -> str:
    """Returns a number with its noun: "1 row", "1,200 rows"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class Progress(Protocol):
    """Shows a RunState. `update` is called a few times a second; `elapsed`: seconds since the run began."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, state: RunState, elapsed: float) -> None: ...

    def save(self) -> None:
        """Writes the files of the display. Blocking: called in a thread, a few times a second."""
        ...


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, state: RunState, elapsed: float) -> None:
        return None

    def save(self) -> None:
        return None
