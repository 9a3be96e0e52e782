"""The end of a run: what is left is sealed, the run is recorded, the summary is drawn up. Blocking."""

from __future__ import annotations

import signal
import time
from typing import Any

import msgspec

from pipeline.dispatch.stop import Stopped
from pipeline.engines.fanout import Fanout
from pipeline.engines.reading import Standing, connect, failure_groups, last_standing, spend
from pipeline.engines.setup import Setup
from pipeline.engines.survey import Survey
from pipeline.errors import EXIT_FAILURES, EXIT_OK, EXIT_PLANNED_STOP, EXIT_STOPPED, MachineError
from pipeline.job.units import allowance
from pipeline.report.summary import Summary
from pipeline.store import RunRecord, Store

_EXITS = {"budget": EXIT_PLANNED_STOP, "until": EXIT_PLANNED_STOP}


def finish(
    setup: Setup,
    store: Store,
    fanout: Fanout,
    survey: Survey,
    record: RunRecord,
    stopped: Stopped,
    received: signal.Signals | None,
    question: dict[str, Any],
    elapsed: float,
) -> Summary:
    """Seals, records and sums up. A machine that refuses the last writes changes the exit code, not the summary."""
    spec, state, counts = setup.spec, fanout.state, survey.counts
    left = survey.ordinals() - state.ended if stopped.reason != "finished" else 0
    failed = counts.failed + state.failures
    code = _exit_code(setup, stopped, received, counts.rows, failed)
    summary = Summary(
        job=spec.name,
        command=spec.command,
        run_id=record.run_id if state.total else None,
        output=str(spec.output),
        exit_code=code,
        stop_reason=stopped.reason,
        message=stopped.message or None,
        rows=counts.rows,
        sent=state.sent,
        answered=state.answered,
        failed=failed,
        skipped=state.skipped,
        left=left,
        new=counts.new,
        changed=counts.changed,
        vanished=counts.vanished,
        repeated=counts.repeat,
        elapsed=round(elapsed, 3),
        offline=spec.offline,
        **_figures(fanout),
    )
    try:
        return _written(setup, store, survey, record, summary, question)
    except MachineError as error:
        return msgspec.structs.replace(summary, exit_code=EXIT_STOPPED, stop_reason="machine", message=str(error))


def _figures(fanout: Fanout) -> dict[str, Any]:
    snapshot = fanout.latest
    if snapshot is None or not snapshot.attempts:
        return {}
    return {
        "attempts": snapshot.attempts,
        "input_tokens": snapshot.input_tokens or None,
        "output_tokens": snapshot.output_tokens or None,
        "cost": snapshot.cost if snapshot.currency is not None else None,
        "currency": snapshot.currency,
        "unknown_cost_attempts": snapshot.unknown_costs,
    }


def _exit_code(setup: Setup, stopped: Stopped, received: signal.Signals | None, rows: int, failed: int) -> int:
    if stopped.reason == "signal":
        return 128 + (received or signal.SIGINT)
    if stopped.reason != "finished":
        return _EXITS.get(stopped.reason, EXIT_STOPPED)
    return EXIT_FAILURES if failed > allowance(setup.spec.job.run.accept_failures, rows) else EXIT_OK


def _written(
    setup: Setup, store: Store, survey: Survey, record: RunRecord, summary: Summary, question: dict[str, Any]
) -> Summary:
    store.seal()
    ran = summary.run_id is not None
    if ran:
        done = msgspec.structs.replace(
            record,
            finished_at=time.time_ns() // 1000,
            exit_code=summary.exit_code,
            stop_reason=summary.stop_reason,
            rows=summary.rows,
            sent=summary.sent,
            answered=summary.answered,
            failed=summary.failed,
            skipped=summary.skipped,
            left=summary.left,
            cost=summary.cost,
            currency=summary.currency,
        )
        store.finish_run(done)
    before = last_standing(setup.spec.output)
    if ran or before is None:
        with connect(setup.spec) as connection:
            failures, spent = failure_groups(connection), spend(connection)
        last_run = msgspec.to_builtins(done) if ran else {"run_id": "-", "stop_reason": "finished", "exit_code": 0}
    else:
        failures, spent, last_run = before.failures, before.spend, before.last_run
    standing = Standing(
        rows=summary.rows,
        done=survey.counts.done + summary.answered,
        left=summary.rows - survey.counts.repeat - survey.counts.done - summary.answered - summary.failed,
        failed=summary.failed,
        failures=failures,
        spend=spent,
        last_run=last_run,
        question=question,
    )
    store.write_summary(msgspec.json.encode(standing, enc_hook=str))
    return msgspec.structs.replace(summary, failures=failures if summary.failed else ())
