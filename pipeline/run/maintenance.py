"""The commands that change an output and send nothing: accept held-back answers, dismiss failures, merge parts.

Blocking.
"""

from __future__ import annotations

import time

import msgspec

from pipeline.job.load import LoadedJob
from pipeline.run.local import run_id
from pipeline.run.output import connect, failure_groups, read_last_run
from pipeline.store import Store, maintenance
from pipeline.store.failed_rows import accept as take
from pipeline.store.maintenance import Compacted
from pipeline.store.maintenance import compact as merge


def accept(spec: LoadedJob, where: str | None) -> int:
    """Turns the held-back answers of open suspects into answers. Returns how many. Raises Locked, QueryError."""
    with Store.open(spec.output, spec.job.task, run_id=run_id()) as store:
        accepted = take(store, where)
        _update_last_run(spec, store, done=accepted)
        return accepted


def dismiss(spec: LoadedJob, where: str, reason: str) -> int:
    """Dismisses open failures. Returns how many. Raises Locked, QueryError."""
    with Store.open(spec.output, spec.job.task, run_id=run_id()) as store:
        dismissed = maintenance.dismiss(store, where, reason, time.time_ns() // 1000)
        _update_last_run(spec, store, dismissed=dismissed)
        return dismissed


def undo(spec: LoadedJob, where: str) -> int:
    """Opens dismissed failures again. Returns how many. Raises Locked, QueryError."""
    with Store.open(spec.output, spec.job.task, run_id=run_id()) as store:
        undone = maintenance.undo(store, where, time.time_ns() // 1000)
        _update_last_run(spec, store, dismissed=-undone)
        return undone


def _update_last_run(spec: LoadedJob, store: Store, *, done: int = 0, dismissed: int = 0) -> None:
    """Updates the figures that the last run left for `status`. done, dismissed: how many rows became done or dismissed;
    negative after `undo`."""
    previous = read_last_run(spec.output)
    if previous is None or not (done or dismissed):
        return
    with connect(spec) as connection:
        failures = failure_groups(connection)
    now = msgspec.structs.replace(
        previous,
        failures=failures,
        failed=sum(group.rows for group in failures),
        done=previous.done + done,
        dismissed=previous.dismissed + dismissed,
    )
    store.write_summary(msgspec.json.encode(now, enc_hook=str))


def compact(spec: LoadedJob, *, drop_superseded: bool) -> Compacted:
    """Merges small parts. Raises Locked."""
    return merge(spec.output, spec.job.task, run_id=run_id(), drop_superseded=drop_superseded)
