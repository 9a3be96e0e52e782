"""The figures of a running job, and the interface of the displays that show them."""

from __future__ import annotations

from collections import Counter
from types import TracebackType
from typing import Any, Protocol

import msgspec


class RunState(msgspec.Struct, kw_only=True):
    """The counters of one run, updated as rows end.

    `total`: rows to send in this run. `skipped`: rows of the manifest that need nothing. `answered` were bought,
    `shared` have the answer that another row bought, `cached` of them one of another job. `failed` by (fault, code).
    Tokens are summed over all attempts whose usage is known; `cost` likewise (None where no price is known),
    `unknown_cost` counts the others.
    `attempts`, `retries`, `throttled` (429s, and 503s beside answers) and `cooldowns` count since the run began. Of the
    moment: attempts `admitted` a second and `in_flight`, the limits in force (`concurrency`; `rate` in requests a
    minute, None = unlimited), retries `waiting`, seconds for which the account is `paused`, bytes `queued` for sending.
    """

    total: int = 0
    skipped: int = 0
    answered: int = 0
    shared: int = 0
    cached: int = 0
    failed: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    left: int = 0
    sent: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    currency: str | None = None
    unknown_cost: int = 0
    attempts: int = 0
    retries: int = 0
    throttled: int = 0
    cooldowns: int = 0
    admitted: float = 0.0
    in_flight: int = 0
    concurrency: int = 0
    rate: float | None = None
    waiting: int = 0
    paused: float = 0.0
    queued: int = 0

    @property
    def failures(self) -> int:
        return self.failed.total()

    @property
    def ended(self) -> int:
        return self.answered + self.shared + self.failures

    def figures(self) -> dict[str, Any]:
        """All counters and gauges by name, for logs, metrics and the summary file."""
        figures = {name: getattr(self, name) for name in self.__struct_fields__ if name != "failed"}
        return {**figures, "failed": self.failures}


def money(amount: float | None, currency: str | None) -> str:
    """An amount for people: "0.0265 CNY"; "unknown" for None."""
    if amount is None:
        return "unknown"
    digits = f"{amount:.2f}" if amount >= 10 or amount == 0 else f"{amount:.4g}"
    return f"{digits} {currency}" if currency else digits


def span(seconds: float) -> str:
    """A duration for people: "4.2 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: int, noun: str) -> str:
    """ "1 row", "1,200 rows"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


class Progress(Protocol):
    """Shows a RunState; `update` is called a few times a second, `elapsed` in seconds since the run began."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, state: RunState, elapsed: float) -> None: ...


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, state: RunState, elapsed: float) -> None:
        return None
