"""A Prometheus text file beside the display, for the node exporter's textfile collector."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import JobError
from pipeline.report.state import Progress, RunState

EVERY = 5.0
"""Seconds between writes; collectors scrape every 15 s or less often."""

_COUNTERS = {
    "answered": ("rows_answered_total", "Rows answered in this run"),
    "shared": ("rows_shared_total", "Rows in this run that share an answer bought by another row"),
    "cached": ("rows_cached_total", "Rows in this run whose answer another job bought"),
    "failed": ("rows_failed_total", "Rows that failed in this run"),
    "attempts": ("attempts_total", "Trips on the wire"),
    "retries": ("retries_total", "Attempts after a first one"),
    "throttled": ("throttled_total", "Attempts that were throttled"),
    "cooldowns": ("cooldowns_total", "Pauses of the whole account"),
    "input_tokens": ("input_tokens_total", "Tokens in, where counted"),
    "output_tokens": ("output_tokens_total", "Tokens out, where counted"),
    "cost": ("cost_total", "Cost in the price's currency, where known"),
    "unknown_cost": ("unknown_cost_attempts_total", "Attempts whose cost is not known"),
}
_GAUGES = {
    "total": ("rows", "Rows to send in this run"),
    "admitted": ("admitted_per_second", "Attempts admitted a second, over the last ten"),
    "in_flight": ("in_flight", "Attempts on the wire"),
    "concurrency": ("concurrency_limit", "Attempts that may be on the wire"),
    "rate": ("rate_limit_per_minute", "Requests a minute in force"),
    "waiting": ("retries_waiting", "Rows that wait to be sent again"),
    "paused": ("paused_seconds", "Seconds for which the account is paused"),
    "queued": ("queued_bytes", "Bytes prepared for sending"),
}


class Metrics:
    """Writes the figures every few seconds and at the end, in one step each, and passes them on to `shown`.

    Raises JobError on entering where the file cannot be written; later a refused write is passed over.
    """

    def __init__(self, job: str, path: Path, shown: Progress) -> None:
        self._job = job
        self._path = path
        self._shown = shown
        self._next = 0.0
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
        self._try()

    def update(self, state: RunState, elapsed: float) -> None:
        self._last = state
        self._shown.update(state, elapsed)
        if elapsed >= self._next:
            self._next = elapsed + EVERY
            self._try()

    def _try(self) -> None:
        try:
            self._write()
        except OSError:
            return

    def _write(self) -> None:
        beside = self._path.with_name(f".{self._path.name}.tmp")
        beside.write_text(text(self._job, self._last), encoding="utf-8")
        os.replace(beside, self._path)  # noqa: PTH105 - Path.replace is the same call


def text(job: str, state: RunState) -> str:
    """The figures in Prometheus' text format, labelled with the job; a figure that is not known is left out."""
    figures = state.figures()
    label = job.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = []
    for kind, metrics in (("counter", _COUNTERS), ("gauge", _GAUGES)):
        for figure, (name, words) in metrics.items():
            if figures[figure] is not None:
                full = f"pipeline_{name}"
                lines += [
                    f"# HELP {full} {words}",
                    f"# TYPE {full} {kind}",
                    f'{full}{{job="{label}"}} {figures[figure]}',
                ]
    return "\n".join(lines) + "\n"
