"""`pipeline status`: what an output holds and what it cost, from the figures that the last run left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from pipeline.report.state import count, money
from pipeline.report.summary import FailureGroup
from pipeline.report.visible import one_line


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """rows: of the manifest at the last run. done: rows with an answer. left: rows not finished. failed: open failures.
    dismissed: rows whose failure was dismissed. quota: what the last run found of the service's quota, in words.

    `last_run` is the newest row of the view `runs`; None before the first run. `spend` has an entry per currency.
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


def lines(status: Status) -> Iterator[str]:
    """The status for people, line by line."""
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
    if status.quota is not None:
        yield f"quota:  {status.quota}"
    last = status.last_run
    if last is None:
        return
    yield f"last run {last['run_id']}: {last.get('stop_reason') or 'not finished'}, exit {last.get('exit_code')}"
