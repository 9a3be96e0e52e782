"""The end of a run: what is left is sealed, the run is recorded, the summary is drawn up. Blocking."""

from __future__ import annotations

import time
from signal import Signals
from typing import Any

import msgspec

from pipeline.dispatch.stop import Stopped
from pipeline.engines.fanout import Fanout
from pipeline.engines.guard import question
from pipeline.engines.plan import Plan
from pipeline.engines.reading import Standing, connect, failure_groups, last_standing, spend
from pipeline.engines.setup import Setup
from pipeline.errors import EXIT_FAILURES, EXIT_OK, EXIT_PLANNED_STOP, EXIT_STOPPED, MachineError
from pipeline.job.units import allowance
from pipeline.report.summary import Summary
from pipeline.store import RunRecord, Store

_EXITS = {"budget": EXIT_PLANNED_STOP, "until": EXIT_PLANNED_STOP}


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How the sending ended. signal: the first one received. elapsed: seconds since the run began. quota: what is known
    of the service's quota, in words."""

    stopped: Stopped
    signal: Signals | None
    elapsed: float
    notes: tuple[str, ...] = ()
    quota: str | None = None


def finish(setup: Setup, store: Store, fanout: Fanout, plan: Plan, record: RunRecord, ended: Ended) -> Summary:
    """Seals, records and sums up. A machine that refuses the last writes changes the exit code, not the summary."""
    spec, state = setup.spec, fanout.state
    still_open = plan.failed + state.failures
    summary = Summary(
        job=spec.name,
        command=spec.command,
        run_id=record.run_id if plan.total else None,
        output=str(spec.output),
        exit_code=_exit_code(setup, ended, plan.rows, still_open),
        stop_reason=ended.stopped.reason,
        message=_message(ended.stopped),
        rows=plan.rows,
        sent=state.sent,
        answered=state.answered,
        shared=state.shared,
        cached=state.cached,
        failed=state.failures,
        open=still_open,
        done=plan.done,
        skipped=plan.done,
        dismissed=plan.dismissed,
        remaining=max(0, plan.rows - plan.repeated - plan.done - state.answered - state.shared - still_open),
        left=max(0, plan.total - state.ended),
        new=plan.new,
        changed=plan.changed,
        vanished=plan.vanished,
        repeated=plan.repeated,
        passed_over=dict(plan.passed_over),
        elapsed=round(ended.elapsed, 3),
        notes=ended.notes,
        quota=ended.quota,
        offline=spec.offline,
        figures=state.figures(),
        **_figures(fanout),
    )
    try:
        return _written(setup, store, plan, record, summary)
    except MachineError as error:
        return msgspec.structs.replace(summary, exit_code=EXIT_STOPPED, stop_reason="machine", message=str(error))


def _message(stopped: Stopped) -> str | None:
    """What stopped the run, in the service's words; an account fault is for a person, so it says what to look at."""
    if stopped.fault is None or stopped.reason != "account":
        return stopped.message or None
    return f"{stopped.message} ({stopped.fault.code}): check the key, the balance and the model, then run again"


def _figures(fanout: Fanout) -> dict[str, Any]:
    snapshot = fanout.latest
    if snapshot is None or not snapshot.attempts:
        return {}
    return {
        "attempts": snapshot.attempts,
        "input_tokens": snapshot.input_tokens or None,
        "output_tokens": snapshot.output_tokens or None,
        "cost": snapshot.cost,
        "currency": snapshot.currency,
        "unknown_cost_attempts": snapshot.unknown_costs,
    }


def _exit_code(setup: Setup, ended: Ended, rows: int, failed: int) -> int:
    reason = ended.stopped.reason
    if reason == "signal":
        return 128 + (ended.signal or Signals.SIGINT)
    if reason != "finished":
        return _EXITS.get(reason, EXIT_STOPPED)
    return EXIT_FAILURES if failed > allowance(setup.spec.job.run.accept_failures, rows) else EXIT_OK


def _written(setup: Setup, store: Store, plan: Plan, record: RunRecord, summary: Summary) -> Summary:
    store.seal()
    spec = setup.spec
    before = last_standing(spec.output)
    failures = before.failures if before else ()
    spent = before.spend if before else ()
    last_run = before.last_run if before else None
    if summary.run_id is not None:
        done = _recorded(record, plan, summary)
        store.finish_run(done)
        last_run = msgspec.to_builtins(done)
    if summary.run_id is not None or before is None:
        with connect(spec) as connection:
            failures, spent = failure_groups(connection), spend(connection)
    standing = Standing(
        rows=plan.rows,
        done=plan.done - plan.dismissed + summary.answered + summary.shared,
        dismissed=plan.dismissed,
        left=summary.remaining,
        repeated=plan.repeated,
        failed=summary.open,
        failures=failures,
        spend=spent,
        last_run=last_run,
        questions=_questions(setup, plan, before.questions if before else ()),
        quota=summary.quota or (before.quota if before else None),
    )
    store.write_summary(msgspec.json.encode(standing, enc_hook=str))
    return msgspec.structs.replace(summary, failures=failures if summary.open else ())


def _questions(setup: Setup, plan: Plan, before: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """What the answered rows were asked: what a reprocess or kept answers leave open, the guard asks about again."""
    if plan.command == "reprocess" or (plan.kept and not before):
        return before
    now = question(setup)
    return (*(asked for asked in before if plan.kept and asked != now), now)


def _recorded(record: RunRecord, plan: Plan, summary: Summary) -> RunRecord:
    """Each line of the manifest is counted once; a reprocess counts the rows that it took up."""
    whole = plan.command == "run"
    return msgspec.structs.replace(
        record,
        finished_at=time.time_ns() // 1000,
        exit_code=summary.exit_code,
        stop_reason=summary.stop_reason,
        rows=plan.lines,
        sent=summary.sent,
        answered=summary.answered,
        shared=summary.shared,
        failed=summary.open if whole else summary.failed,
        done=summary.done if whole else 0,
        repeated=summary.repeated if whole else 0,
        remaining=summary.remaining if whole else summary.left,
        skipped=summary.skipped if whole else 0,
        left=summary.left,
        cost=summary.cost,
        currency=summary.currency,
    )
