"""Reads an output: views, status, export. Needs no key and sends nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import JobError, MissingExtra, QueryError
from pipeline.job.load import LoadedJob
from pipeline.job.values import for_message
from pipeline.report import published
from pipeline.report.forecast import Forecast
from pipeline.report.progress import progress
from pipeline.report.summary import FailureGroup, Status
from pipeline.run.learnt import Measured
from pipeline.store import read
from pipeline.store.layout import Layout
from pipeline.store.lock import running
from pipeline.store.read import read_only
from pipeline.store.sql import reader
from pipeline.tasks import facts

if TYPE_CHECKING:
    import duckdb

    from pipeline.store.export import Chosen


FORMS = {"arrow": "to_arrow_table", "polars": "pl", "pandas": "df"}
"""What results can be handed over as → the method of a DuckDB relation."""


class LastRun(msgspec.Struct, kw_only=True):
    """The facts that the last run left for `status` and for the guard of the next run.

    `questions`: the questions that the answered rows were asked, for the guard. One question; more after `--changed
    keep`; empty if the question is not known. `repeated`: rows whose derived id stands earlier in the manifest.
    `dismissed`: rows whose failure was dismissed. `quota`: the facts found about the service's quota, in words.
    `forecast`: what was expected of the last run. `measured`: how the services count, by model.
    """

    rows: int
    done: int
    left: int
    failed: int
    failures: tuple[FailureGroup, ...]
    spend: tuple[dict[str, Any], ...]
    last_run: dict[str, Any] | None
    questions: tuple[dict[str, Any], ...] = ()
    repeated: int = 0
    dismissed: int = 0
    quota: str | None = None
    forecast: Forecast | None = None
    measured: tuple[Measured, ...] = ()


def connect(spec: LoadedJob) -> duckdb.DuckDBPyConnection:
    """Returns a connection with the views over the job's output."""
    return read.connect(spec.output, spec.job.task)


def query(spec: LoadedJob, sql: str, *, write: bool = False) -> Any:
    """Returns a pyarrow RecordBatchReader with the rows of one SQL statement.

    Raises QueryError; without `write` also for a statement that does more than read.
    """
    import duckdb

    connection = connect(spec)
    if not write:
        read_only(connection, sql)
    try:
        relation = connection.sql(sql)
    except duckdb.Error as error:
        raise QueryError(str(error)) from None
    if relation is None:
        raise QueryError(f"this statement gives no rows: {sql}")
    return reader(relation, 4_096)


def results(spec: LoadedJob, form: str, columns: tuple[str, ...]) -> Any:
    """`results`, sorted by id, as a pyarrow table, or a polars or pandas frame. Raises JobError, MissingExtra."""
    from pipeline.store.export import chosen_columns
    from pipeline.store.sql import quoted

    if form not in FORMS:
        raise JobError(f"results: found {for_message(form)}, expected one of {', '.join(FORMS)}")
    connection = connect(spec)
    chosen = ", ".join(map(quoted, chosen_columns(connection, columns, ())))
    relation = connection.sql(f"select {chosen} from results order by id")
    try:
        return getattr(relation, FORMS[form])()
    except ImportError:
        raise MissingExtra(f"{form} is not installed: pip install {form}") from None


def vectors(spec: LoadedJob) -> tuple[list[str], Any]:
    """(ids, float32 array of shape (rows, dimension)) of `results`, sorted by id. Raises JobError for another task."""
    import numpy as np

    if not facts(spec.job.task).embeds:
        raise spec.fail(f"task {spec.job.task} makes no vectors")
    sql = "select id, embedding from results where embedding is not null order by id"
    table = connect(spec).sql(sql).to_arrow_table()
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    found = np.asarray(flat, dtype=np.float32)
    return table["id"].to_pylist(), found.reshape(table.num_rows, -1) if table.num_rows else found.reshape(0, 0)


def export(spec: LoadedJob, dest: Path, chosen: Chosen) -> int:
    """Writes `results` to a file. Returns the number of rows."""
    from pipeline.store.export import export as write

    return write(spec.output, spec.job.task, dest, chosen)


def status(spec: LoadedJob) -> Status:
    """Returns the figures that the last run left, and who uses the output now. Counts nothing again."""
    previous = read_last_run(spec.output)
    base: dict[str, Any] = {
        "job": spec.name,
        "command": spec.command,
        "output": str(spec.output),
        "offline": spec.offline,
        "running": running(Layout(spec.output).lock),
    }
    if previous is None:
        return Status(**base)
    return Status(
        **base,
        rows=previous.rows,
        done=previous.done,
        left=previous.left,
        failed=previous.failed,
        dismissed=previous.dismissed,
        failures=previous.failures,
        spend=previous.spend,
        last_run=previous.last_run,
        quota=previous.quota,
        forecast=previous.forecast,
    )


def watch(spec: LoadedJob) -> None:
    """Shows a run of another process on stderr, as the run's own terminal does, until it ends. Blocking."""
    layout = Layout(spec.output)
    with progress(spec.shown) as display:
        while running(layout.lock) is not None:
            found = published.read(layout.progress)
            if found is not None:
                display.update(found.state, found.elapsed + max(0.0, time.time() - found.at))
            time.sleep(published.EVERY)


def read_last_run(output: Path) -> LastRun | None:
    """Returns the facts that the last run left.

    None before the first run, and if another version wrote a file that cannot be read. The next run writes a new file.
    """
    path = Layout(output).summary
    try:
        return msgspec.json.decode(path.read_bytes(), type=LastRun)
    except (OSError, msgspec.MsgspecError):
        return None


def failure_groups(connection: duckdb.DuckDBPyConnection, run_id: str | None = None) -> tuple[FailureGroup, ...]:
    """Returns the open failures by fault and code, the largest group first. Each group has one message and id.

    run_id: counts the failures of this run alone.
    """
    where = "where run_id = $run_id" if run_id else ""
    rows = read.query(
        connection,
        f"select fault, code, count(*), min_by(message, seq), min_by(id, seq) from failures {where} "
        "group by fault, code order by count(*) desc, fault, code",
        {"run_id": run_id} if run_id else None,
    ).fetchall()
    return tuple(
        FailureGroup(fault=fault, code=code, rows=count, message=message or "", id=id_)
        for fault, code, count, message, id_ in rows
    )


def spend(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, Any], ...]:
    """Returns the attempts, tokens and cost of all runs, one entry per currency."""
    relation = connection.sql(
        "select currency, sum(attempts)::bigint as attempts, sum(input_tokens)::bigint as input_tokens, "
        "sum(output_tokens)::bigint as output_tokens, sum(cost) as cost, "
        "sum(unknown_cost_attempts)::bigint as unknown_cost_attempts from spend group by currency order by currency",
    )
    return tuple(relation.to_arrow_table().to_pylist())
