"""The summary of a run and `pipeline status`: structs for programs, words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pipeline.counters import Counters
from pipeline.errors import EXIT_FAILURES, EXIT_OK, EXIT_PLANNED_STOP, EXIT_STOPPED
from pipeline.report.forecast import Forecast
from pipeline.report.forecast import lines as forecast_lines
from pipeline.report.html import lines_html
from pipeline.report.state import count, money, span
from pipeline.report.terminal import one_line


class FailureGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The failures of one kind, with the message and id of one failure as an example."""

    fault: str
    code: str
    rows: int
    message: str
    id: str


class Summary(Counters, kw_only=True):
    """The result of a run: its counters (pipeline/counters.py) and how the run ended.

    command: the job and the options that a command takes for the same job. rows: the rows of the manifest. open: the
    rows whose failure is open now, from this run or an earlier run. done: the rows that needed nothing, because they
    were answered before or `dismissed` (`skipped` is the older name). repeated: the rows whose derived id stands
    earlier in the manifest. remaining: all other rows. rows = answered + shared + open + done + repeated + remaining.
    left: the remaining rows that this run should send but did not, because the run stopped. new, changed: the rows of
    these kinds before the run. vanished: the ids with an outcome that the manifest no longer has. passed_over: files of
    the manifest's folder or glob that are no rows, by kind; no other count includes these files. elapsed: seconds.
    notes: other facts that a person should know. quota: the facts found about the service's quota, in words. figures:
    the counters and gauges at the end, the same as in the progress display (pipeline/report/state.py).
    """

    job: str
    command: str
    run_id: str | None
    output: str
    exit_code: int
    stop_reason: str
    message: str | None = None
    rows: int = 0
    open: int = 0
    done: int = 0
    skipped: int = 0
    dismissed: int = 0
    remaining: int = 0
    new: int = 0
    changed: int = 0
    vanished: int = 0
    repeated: int = 0
    passed_over: dict[str, int] = {}
    elapsed: float = 0.0
    failures: tuple[FailureGroup, ...] = ()
    offline: bool = False
    notes: tuple[str, ...] = ()
    quota: str | None = None
    figures: dict[str, Any] = {}

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return lines_html(lines(self))


PASSING = ("throttled", "transient")
"""The faults whose rows the next run sends again by itself."""

MOST_GROUPS = 12
"""The most kinds of failure that are printed. The other kinds are counted; `pipeline query` finds them."""


def lines(summary: Summary) -> Iterator[str]:
    """Yields the lines of the summary, for people. The last line says the outcome and the next step."""
    yield from _figures(summary) if summary.sent or summary.shared or summary.left else _nothing(summary)
    if summary.passed_over:
        yield passed_over(summary.passed_over)
    for group in summary.failures[:MOST_GROUPS]:
        yield f"  {group.rows:>6,} × {group.fault} {one_line(f'{group.code}: {group.message} (such as {group.id})')}"
    if len(summary.failures) > MOST_GROUPS:
        yield f"  and {len(summary.failures) - MOST_GROUPS} more kinds of failure"
    if summary.message:
        yield summary.message
    yield from (f"note: {note}" for note in summary.notes)
    yield f"output: {summary.output}"
    yield f"exit {summary.exit_code}: {_outcome(summary)}; next: {_next(summary)}"


def passed_over(counts: Mapping[str, int]) -> str:
    """Returns words for the files of a folder or glob that are no rows: "passed over: 2 .svg, 1 hidden"."""
    return "passed over: " + ", ".join(f"{number:,} {kind}" for kind, number in counts.items())


def json_line(summary: Summary) -> str:
    """Returns the summary for log collectors: one JSON object with `event` = `end`."""
    return msgspec.json.encode({"event": "end", **msgspec.to_builtins(summary)}).decode()


def _nothing(summary: Summary) -> Iterator[str]:
    older = f", {count(summary.open, 'failure')} open from earlier runs" if summary.open else ""
    dismissed = f", {summary.dismissed:,} dismissed" if summary.dismissed else ""
    done = f"{summary.skipped - summary.dismissed:,} done{dismissed}"
    older += f", {summary.remaining:,} not sent" if summary.remaining else ""
    yield f"nothing to send: {count(summary.rows, 'row')}, {done}{older}"


def _figures(summary: Summary) -> Iterator[str]:
    facts = [f"{number:,} {words}" for number, words in _counts(summary) if number or words in ("answered", "failed")]
    yield f"{count(summary.rows, 'row')} in {span(summary.elapsed)}: {', '.join(facts)}"
    if summary.input_tokens is not None or summary.output_tokens is not None:
        tokens = f"{summary.input_tokens or 0:,} tokens in, {summary.output_tokens or 0:,} out"
        price = "" if summary.offline else f", cost {money(summary.cost, summary.currency)}"
        if summary.unknown_cost_attempts and not summary.offline and summary.cost is not None:
            price += f" and {count(summary.unknown_cost_attempts, 'attempt')} of unknown cost"
        yield tokens + price


def _counts(summary: Summary) -> Iterator[tuple[int, str]]:
    yield summary.answered, "answered"
    yield summary.shared, "shared" + (f" ({summary.cached:,} from the cache)" if summary.cached else "")
    yield summary.failed, "failed"
    yield summary.skipped, "skipped" + (f" ({summary.dismissed:,} dismissed)" if summary.dismissed else "")
    yield summary.left, "left"
    yield summary.new if summary.skipped else 0, "new"
    yield summary.changed, "changed"
    yield summary.open - summary.failed, "failed earlier"
    yield summary.vanished, "no longer in the manifest"
    yield summary.repeated, "repeated"


def _outcome(summary: Summary) -> str:
    if summary.exit_code == EXIT_OK:
        if summary.remaining and not summary.left:
            return f"done, {count(summary.remaining, 'row')} not sent yet"
        if summary.sent == 0 and not summary.shared and not summary.left:
            return f"nothing to send, {count(summary.rows, 'row')} done"
        return "the manifest is answered" if not summary.left else f"done, {count(summary.left, 'row')} left"
    if summary.exit_code == EXIT_FAILURES:
        return count(summary.open, "failure")
    if summary.exit_code in (EXIT_PLANNED_STOP, EXIT_STOPPED):
        return f"stopped: {summary.stop_reason}"
    return summary.stop_reason


def _next(summary: Summary) -> str:
    job = summary.command
    passing = bool(summary.failures) and all(group.fault in PASSING for group in summary.failures)
    if summary.exit_code == EXIT_FAILURES and not passing:
        return f'pipeline query {job} "select id, fault, code, message from failures"'
    if summary.exit_code == EXIT_OK and not summary.left and not summary.remaining:
        return f'pipeline query {job} "select * from results"'
    return f"pipeline run {job}"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a job's output, for `pipeline status`.

    rows: the rows of the manifest at the last run. done: the rows with an answer. left: the rows that are not finished.
    failed: the open failures. dismissed: the rows whose failure was dismissed. quota: the facts that the last run found
    about the service's quota, in words. last_run: the newest row of the view `runs`; None before the first run. spend:
    one entry per currency. running: who uses the output now, None if nobody does. forecast: what was expected of the
    last run, and what it came to; None offline, and for a run that had nothing answered.
    """

    job: str
    command: str
    output: str
    offline: bool
    rows: int = 0
    done: int = 0
    left: int = 0
    failed: int = 0
    dismissed: int = 0
    failures: tuple[FailureGroup, ...] = ()
    spend: tuple[dict[str, Any], ...] = ()
    last_run: dict[str, Any] | None = None
    running: str | None = None
    quota: str | None = None
    forecast: Forecast | None = None


def status_lines(status: Status) -> Iterator[str]:
    """Yields the lines of the status, for people."""
    yield f"job:    {status.job}"
    yield f"output: {status.output}"
    if status.running:
        yield f"a run is going on: {status.running}"
    if status.last_run is None and not status.rows:
        yield f"nothing has run yet; start with: pipeline run {status.command}"
        return
    dismissed = f", {status.dismissed:,} dismissed" if status.dismissed else ""
    counts = f"{status.done:,} done, {status.left:,} left, {status.failed:,} failed{dismissed}"
    yield f"{count(status.rows, 'row')}: {counts}"
    for group in status.failures:
        yield f"  {group.rows:>6,} × {group.fault} {one_line(f'{group.code}: {group.message} (such as {group.id})')}"
    for entry in status.spend:
        unknown = entry.get("unknown_cost_attempts") or 0
        note = f" and {count(unknown, 'attempt')} of unknown cost" if unknown and not status.offline else ""
        tokens = f"{entry.get('input_tokens') or 0:,} tokens in, {entry.get('output_tokens') or 0:,} out"
        cost = "" if status.offline else f", {money(entry.get('cost'), entry.get('currency'))}{note}"
        yield f"spent:  {count(entry.get('attempts') or 0, 'attempt')}, {tokens}{cost}"
    if status.forecast is not None:
        yield from forecast_lines(status.forecast)
    if status.quota is not None:
        yield f"quota:  {status.quota}"
    last = status.last_run
    if last is None:
        return
    yield f"last run {last['run_id']}: {last.get('stop_reason') or 'not finished'}, exit {last.get('exit_code')}"
