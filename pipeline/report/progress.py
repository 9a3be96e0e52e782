"""Shows progress on stderr: a live line on a terminal, otherwise a plain line a minute."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, TextIO

import msgspec

from pipeline.report import terminal
from pipeline.report.metrics import Metrics
from pipeline.report.state import Progress, Quiet, RunState, count, money, span
from pipeline.report.terminal import for_drawing, one_line

PLAIN_EVERY = 60.0
"""Seconds between lines if stderr is not a terminal. The log of a whole night stays readable."""

SAID_SECONDS = 10.0
"""If a pause of the whole account is longer than this, the display says so."""


def progress(
    name: str, *, stream: TextIO | None = None, quiet: bool = False, form: str = "text", metrics: str | None = None
) -> Progress:
    """Returns the display for `stream` (stderr by default) and `form` (`text` or `json`).

    metrics: the path of a metrics file beside the display. quiet: shows nothing on the stream.
    """
    stream = stream or sys.stderr
    shown: Progress
    if quiet:
        shown = Quiet()
    elif form == "json":
        shown = JsonLines(name, stream)
    else:
        shown = Live(name, stream) if stream.isatty() else Plain(name, stream)
    return Metrics(name, Path(metrics), shown) if metrics else shown


def describe(state: RunState, elapsed: float) -> str:
    """Returns one line with the rows, rate, failures, tokens, cost, throttled attempts, pauses and time left."""
    rate = state.ended / elapsed if elapsed > 0 else 0.0
    parts = [f"{state.ended:,}/{state.total:,} rows", f"{rate:.1f}/s", count(state.failed, "failure")]
    if tokens := (state.input_tokens or 0) + (state.output_tokens or 0):
        parts.append(f"{tokens:,} tokens")
    if state.currency is not None:
        parts.append(money(state.cost, state.currency))
    if state.throttled:
        parts.append(f"{state.throttled:,} throttled")
    if state.gauges.waiting:
        parts.append(f"{state.gauges.waiting:,} waiting to retry")
    if (paused := state.gauges.paused) > SAID_SECONDS:
        parts.append(f"paused until {time.strftime('%H:%M:%S', time.localtime(time.time() + paused))}")
    left = state.total - state.ended
    if rate > 0 and left > 0:
        parts.append(f"{span(left / rate)} left")
    return " · ".join(parts)


class Plain(Quiet):
    """Prints a line a minute, for logs, and a line when a pause begins."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name = name
        self._stream = stream
        self._next = PLAIN_EVERY
        self._paused = False

    def _due(self, state: RunState, elapsed: float) -> bool:
        paused, self._paused = self._paused, state.gauges.paused > SAID_SECONDS
        if elapsed < self._next and not (self._paused and not paused):
            return False
        self._next = elapsed + PLAIN_EVERY
        return True

    def update(self, state: RunState, elapsed: float) -> None:
        if self._due(state, elapsed):
            print(f"{one_line(self._name)}: {describe(state, elapsed)}", file=self._stream, flush=True)


class JsonLines(Plain):
    """Prints a JSON object a minute, for log collectors, and an object when a pause begins."""

    def update(self, state: RunState, elapsed: float) -> None:
        if self._due(state, elapsed):
            fields = {"event": "progress", "job": self._name, "elapsed": round(elapsed, 3), **state.figures()}
            print(msgspec.json.encode(fields).decode(), file=self._stream, flush=True)


class Live(Quiet):
    """A bar on a terminal that is redrawn in place. At the end of the run the bar disappears."""

    def __init__(self, name: str, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            SpinnerColumn("dots" if terminal.holds("⠋", stream) else "line"),
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[line]}", markup=False),
            console=Console(file=for_drawing(stream)),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=8,
        )
        self._stream = stream
        self._task: Any = self._bar.add_task(terminal.as_printed(name, stream), total=None, line="starting")

    def __enter__(self) -> Live:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, state: RunState, elapsed: float) -> None:
        line = terminal.as_printed(describe(state, elapsed), self._stream)
        self._bar.update(self._task, total=state.total or None, completed=state.ended, line=line)
