"""The end of a run: seals the journal, records the run and makes the summary. Blocking."""

from __future__ import annotations

import time
from signal import Signals
from typing import Any

import msgspec

from pipeline.counters import counts
from pipeline.dispatch.stop import Stopped
from pipeline.errors import EXIT_FAILURES, EXIT_OK, EXIT_PLANNED_STOP, EXIT_STOPPED, MachineError
from pipeline.job.values import allowance
from pipeline.report.forecast import Forecast
from pipeline.report.summary import Summary
from pipeline.run.change_guard import question
from pipeline.run.context import JobContext
from pipeline.run.forecaster import Forecaster
from pipeline.run.learnt import Measured, with_measured
from pipeline.run.outcome_recorder import OutcomeRecorder
from pipeline.run.output import LastRun, connect, failure_groups, read_last_run, spend
from pipeline.run.select import Selection
from pipeline.store import RunRecord, Store

_EXITS = {"budget": EXIT_PLANNED_STOP, "until": EXIT_PLANNED_STOP}


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the sending. signal: the first signal that was received. elapsed: seconds since the run began. quota:
    the facts known about the service's quota, in words."""

    stopped: Stopped
    signal: Signals | None
    elapsed: float
    notes: tuple[str, ...] = ()
    quota: str | None = None


def finish(
    context: JobContext, store: Store, recorder: OutcomeRecorder, selection: Selection, record: RunRecord, ended: Ended
) -> Summary:
    """Seals the journal, records the run and returns the summary.

    If the machine refuses the last writes, the summary has another exit code, stop reason and message.
    """
    spec, state = context.spec, recorder.state
    state.left = max(0, selection.total - state.ended)
    still_open = selection.failed + state.failed
    summary = Summary(
        job=spec.name,
        command=spec.command,
        run_id=record.run_id if selection.total else None,
        output=str(spec.output),
        exit_code=_exit_code(context, ended, selection.rows, still_open),
        stop_reason=ended.stopped.reason,
        message=_message(ended.stopped),
        rows=selection.rows,
        open=still_open,
        done=selection.done,
        skipped=selection.done,
        dismissed=selection.dismissed,
        remaining=max(
            0, selection.rows - selection.repeated - selection.done - state.answered - state.shared - still_open
        ),
        new=selection.new,
        changed=selection.changed,
        vanished=selection.vanished,
        repeated=selection.repeated,
        passed_over=dict(selection.passed_over),
        elapsed=round(ended.elapsed, 3),
        notes=ended.notes,
        quota=ended.quota,
        offline=spec.offline,
        figures=state.figures(),
        **counts(state),
    )
    try:
        return _written(context, store, selection, record, summary, recorder.forecaster)
    except MachineError as error:
        return msgspec.structs.replace(summary, exit_code=EXIT_STOPPED, stop_reason="machine", message=str(error))


def _message(stopped: Stopped) -> str | None:
    """Returns the reason why the run stopped, in the service's words.

    The message of an account fault also says what a person must check.
    """
    if stopped.fault is None or stopped.reason != "account":
        return stopped.message or None
    return f"{stopped.message} ({stopped.fault.code}): check the key, the balance and the model, then run again"


def _exit_code(context: JobContext, ended: Ended, rows: int, failed: int) -> int:
    reason = ended.stopped.reason
    if reason == "signal":
        return 128 + (ended.signal or Signals.SIGINT)
    if reason != "finished":
        return _EXITS.get(reason, EXIT_STOPPED)
    return EXIT_FAILURES if failed > allowance(context.spec.job.run.accept_failures, rows) else EXIT_OK


def _written(
    context: JobContext,
    store: Store,
    selection: Selection,
    record: RunRecord,
    summary: Summary,
    forecaster: Forecaster | None,
) -> Summary:
    store.seal()
    spec = context.spec
    before = read_last_run(spec.output)
    failures = before.failures if before else ()
    spent = before.spend if before else ()
    last_run = before.last_run if before else None
    if summary.run_id is not None:
        done = _recorded(record, selection, summary)
        store.finish_run(done)
        last_run = done.columns()
    if summary.run_id is not None or before is None:
        with connect(spec) as connection:
            failures, spent = failure_groups(connection), spend(connection)
    previous = LastRun(
        rows=selection.rows,
        done=selection.done - selection.dismissed + summary.answered + summary.shared,
        dismissed=selection.dismissed,
        left=summary.remaining,
        repeated=selection.repeated,
        failed=summary.open,
        failures=failures,
        spend=spent,
        last_run=last_run,
        questions=_questions(context, selection, before.questions if before else ()),
        quota=summary.quota or (before.quota if before else None),
        forecast=_forecast(forecaster, summary) if summary.run_id else before.forecast if before else None,
        measured=_measured(forecaster, before.measured if before else ()),
    )
    store.write_summary(msgspec.json.encode(previous, enc_hook=str))
    return msgspec.structs.replace(summary, failures=failures if summary.open else ())


def _forecast(forecaster: Forecaster | None, summary: Summary) -> Forecast | None:
    """Returns the forecast of the run, with what the run came to; None if no question was answered."""
    if forecaster is None or not forecaster.forecast.questions:
        return None
    spent = {"input_tokens": summary.input_tokens, "output_tokens": summary.output_tokens, "cost": summary.cost}
    return msgspec.structs.replace(forecaster.forecast, **spent)


def _measured(forecaster: Forecaster | None, before: tuple[Measured, ...]) -> tuple[Measured, ...]:
    return before if forecaster is None else with_measured(before, forecaster.measured)


def _questions(
    context: JobContext, selection: Selection, before: tuple[dict[str, Any], ...]
) -> tuple[dict[str, Any], ...]:
    """Returns the questions that the answered rows were asked, for the guard of the next run.

    A reprocess does not change the questions. If answers were kept, their earlier questions stay in the list, so that
    the guard asks about them again.
    """
    if selection.command == "reprocess" or (selection.kept and not before):
        return before
    now = question(context)
    return (*(asked for asked in before if selection.kept and asked != now), now)


def _recorded(record: RunRecord, selection: Selection, summary: Summary) -> RunRecord:
    """Returns the record of the run with its counts.

    A run counts each line of the manifest once. A reprocess counts only the rows that it selected.
    """
    whole = selection.command == "run"
    return msgspec.structs.replace(
        record,
        finished_at=time.time_ns() // 1000,
        exit_code=summary.exit_code,
        stop_reason=summary.stop_reason,
        counters=counts(summary),
        rows=selection.lines,
        failed=summary.open if whole else summary.failed,
        done=summary.done if whole else 0,
        repeated=summary.repeated if whole else 0,
        remaining=summary.remaining if whole else summary.left,
        skipped=summary.skipped if whole else 0,
    )
