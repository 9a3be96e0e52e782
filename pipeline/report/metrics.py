"""Writes a Prometheus text file beside the display, for the node exporter's textfile collector."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pipeline.counters import Counters, Gauges, Metric, metrics_of
from pipeline.errors import JobError
from pipeline.report.state import Progress, RunState

EVERY = 5.0
"""Seconds between writes; collectors scrape every 15 s or less often."""

_TOTAL = Metric("rows", "Rows to send in this run")


class Metrics:
    """Writes the figures to a file every few seconds and at the end, and passes them on to `shown`.

    Each write replaces the file in one step. Entering raises JobError if the file cannot be written. A later write that
    fails is ignored.
    """

    def __init__(self, job: str, path: Path, shown: Progress) -> None:
        self._job = job
        self._path = path
        self._shown = shown
        self._next = 0.0
        self._text: str | None = text(job, RunState())
        self._last = RunState()

    def __enter__(self) -> Metrics:
        try:
            self._write()
        except OSError as error:
            raise JobError(f"--metrics {self._path}: cannot be written: {error.strerror}") from None
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__(None, None, None)
        self._text = text(self._job, self._last)
        self.save()

    def update(self, state: RunState, elapsed: float) -> None:
        self._last = state
        self._shown.update(state, elapsed)
        if elapsed >= self._next:
            self._next = elapsed + EVERY
            self._text = text(self._job, state)

    def save(self) -> None:
        self._shown.save()
        with suppress(OSError):
            self._write()

    def _write(self) -> None:
        wanted, self._text = self._text, None
        if wanted is not None:
            beside = self._path.with_name(f".{self._path.name}.tmp")
            beside.write_text(wanted, encoding="utf-8")
            os.replace(beside, self._path)  # noqa: PTH105 - Path.replace is the same call


def text(job: str, state: RunState) -> str:
    """Returns the figures in Prometheus' text format, labelled with the job. A figure that is not known is left out."""
    figures = [("counter", f"{m.name}_total", m, getattr(state, name)) for name, m in metrics_of(Counters).items()]
    figures.append(("gauge", _TOTAL.name, _TOTAL, state.total))
    figures += [("gauge", m.name, m, getattr(state.gauges, name)) for name, m in metrics_of(Gauges).items()]
    label = job.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = []
    for kind, name, metric, value in figures:
        if value is not None:
            full = f"pipeline_{name}"
            lines += [f"# HELP {full} {metric.meaning}", f"# TYPE {full} {kind}", f'{full}{{job="{label}"}} {value}']
    return "\n".join(lines) + "\n"
