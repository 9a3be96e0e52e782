"""Shows progress on stderr: lines that are redrawn on a terminal, otherwise a plain line a minute."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import msgspec

from pipeline.report import terminal
from pipeline.report.html import lines_html
from pipeline.report.live import SAID_SECONDS, Lines, Pace, run_lines
from pipeline.report.metrics import Metrics
from pipeline.report.state import Progress, Quiet, RunState, count, in_notebook, money, span
from pipeline.report.terminal import for_drawing, one_line

NOTEBOOK_EVERY = 1.0
"""Seconds between drawings in a notebook."""
PLAIN_EVERY = 60.0
"""Seconds between lines if stderr is not a terminal. The log of a whole night stays readable."""


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
    elif in_notebook():
        shown = Notebook(name)
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
    """A few lines on a terminal that are redrawn in place. At the end of the run the lines disappear."""

    def __init__(self, name: str, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live as Redrawn

        self._name = terminal.as_printed(name, stream)
        self._stream = stream
        self._pace = Pace()
        self._lines: Lines | None = None
        self._console = Console(file=for_drawing(stream), highlight=False)
        self._live = Redrawn(
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=4,
            get_renderable=self._drawn,
        )

    def __enter__(self) -> Live:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, state: RunState, elapsed: float) -> None:
        rate = self._pace.add(elapsed, state.ended)
        self._lines = run_lines(self._name, state, elapsed, rate, bar_for(self._stream))

    def _drawn(self) -> Any:
        """The lines as they fit now; the terminal may have been resized."""
        from rich.text import Text

        lines = self._lines.fitted(self._console.width - 1) if self._lines is not None else [f"{self._name}  starting"]
        return Text(terminal.as_printed("\n".join(lines), self._stream), no_wrap=True, overflow="crop")


class Notebook(Quiet):
    """The lines of a terminal in the output of a notebook's cell, drawn anew every second."""

    WIDTH = 100

    def __init__(self, name: str) -> None:
        self._drawing = importlib.import_module("IPython.display")
        self._name = name
        self._pace = Pace()
        self._next = 0.0
        self._cell: Any = None

    def __enter__(self) -> Notebook:
        shown = self._drawing.HTML(lines_html([f"{self._name}  starting"]))
        self._cell = self._drawing.display(shown, display_id=True)
        return self

    def update(self, state: RunState, elapsed: float) -> None:
        rate = self._pace.add(elapsed, state.ended)
        if self._cell is not None and (elapsed >= self._next or state.ended >= state.total):
            self._next = elapsed + NOTEBOOK_EVERY
            lines = run_lines(self._name, state, elapsed, rate, bar_for(None)).fitted(self.WIDTH)
            self._cell.update(self._drawing.HTML(lines_html(lines)))


def bar_for(stream: Any) -> Callable[[float, int], str]:
    """Draws a share as a bar, in characters that the stream can show."""
    done, rest = ("━", "─") if terminal.holds("━─", stream) else ("#", ".")

    def draw(share: float, columns: int) -> str:
        full = round(min(1.0, share) * columns)
        return done * full + rest * (columns - full)

    return draw
