"""`pipeline compare`: the same rows answered by two jobs, or by one output at two times, side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec

from pipeline.errors import EXIT_FAILURES, EXIT_OK, JobError
from pipeline.job.load import LoadedJob, variant
from pipeline.job.overrides import JobOptions
from pipeline.manifest import open_manifest
from pipeline.report import tables
from pipeline.report.compared import PICKS, Compared, Side, full_table
from pipeline.report.summary import Summary
from pipeline.run.compare_page import write_compare_page
from pipeline.run.local import execute
from pipeline.run.output import connect
from pipeline.run.run_options import RunOptions
from pipeline.store import read
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.export import write_batches
from pipeline.store.layout import Layout
from pipeline.store.sql import quoted
from pipeline.store.upgrade import input_rules
from pipeline.tasks import facts

if TYPE_CHECKING:
    import pyarrow as pa

FIGURES = ("model", "input_tokens", "output_tokens", "cost", "currency", "latency_ms", "run_id")
"""The columns of an answer that stand beside the answer itself."""


async def compare(a: LoadedJob, b: LoadedJob, sample: int | None, *, progress: bool = False) -> Compared:
    """Returns the rows that both jobs answered.

    sample: compares so many rows of A's manifest, and sends those of them that a job has not answered; None: sends
    nothing. A's answered rows come first into the sample, so that as little as possible is bought. The answers are kept
    in each job's own output, and later runs count them. Raises PipelineError as a run does.
    """
    if facts(a.job.task).columns != facts(b.job.task).columns:
        raise a.fail(f"task {a.job.task} and task {b.job.task} of {b.name} give different columns")
    ids: list[str] | None = None
    runs: list[Summary | None] = [None, None]
    if sample is not None:
        ids = await anyio.to_thread.run_sync(sample_ids, a, sample)
        runs = [await _answered(spec, ids, progress) for spec in (a, b)]
    return await anyio.to_thread.run_sync(_compared, (a, b), ids, runs)


async def _answered(spec: LoadedJob, ids: Sequence[str], progress: bool) -> Summary | None:
    """Sends the rows without an answer. Returns the summary of the run, None if all have one."""
    missing = set(ids) - await anyio.to_thread.run_sync(_answered_ids, spec, ids)
    return await execute(spec, RunOptions(ids=frozenset(missing), progress=progress)) if missing else None


def sample_ids(spec: LoadedJob, count: int) -> list[str]:
    """Returns the ids of `count` rows: answered rows, spread evenly, then other rows of the manifest. Blocking."""
    sql = "select id from results where not stale order by seq"
    answered = [id_ for (id_,) in connect(spec).sql(sql).fetchall()]
    if len(answered) >= count:
        return list(_spread(answered, len(answered), count))
    known, wanted = set(answered), count - len(answered)
    total = sum(1 for _ in _other_ids(spec, known))
    return answered + list(_spread(_other_ids(spec, known), total, wanted))


def _other_ids(spec: LoadedJob, known: set[str]) -> Iterator[str]:
    manifest = open_manifest(spec.manifest, spec.job, input_rules(spec.output, spec.job.task), spec.folder)
    return (row.id for row in manifest.rows() if row.problem is None and row.id not in known)


def _spread(ids: Any, total: int, count: int) -> Iterator[str]:
    step, due = max(1.0, total / max(1, count)), 0.0
    for place, id_ in enumerate(ids):
        if place >= due and count > 0:
            due += step
            count -= 1
            yield id_


def _answered_ids(spec: LoadedJob, ids: Sequence[str]) -> set[str]:
    sql = "select id from results where not stale and id in (select unnest($ids))"
    return {id_ for (id_,) in connect(spec).execute(sql, {"ids": list(ids)}).fetchall()}


def _compared(jobs: tuple[LoadedJob, LoadedJob], ids: list[str] | None, runs: Sequence[Summary | None]) -> Compared:
    columns = shared_columns(*jobs)
    where = "" if ids is None else "where id in (select unnest($ids))"
    parameters = None if ids is None else {"ids": ids}
    answers, sides = [], []
    for spec, summary in zip(jobs, runs, strict=True):
        connection = connect(spec)
        sql = f"select {_listed(columns)}, source from results {where}"
        answers.append(read.query(connection, sql, parameters).to_arrow_table())
        codes = f"select code, count(*) from failures {where} group by code order by count(*) desc, code"
        failed = dict(read.query(connection, codes, parameters).fetchall())
        sides.append(_side(spec, answers[-1].num_rows, failed, summary))
    table = joined(answers[0], answers[1], columns)
    return Compared(task=jobs[0].job.task, columns=columns, table=table, sides=(sides[0], sides[1]))


def _side(spec: LoadedJob, answered: int, failed: Mapping[str, int], summary: Summary | None) -> Side:
    name = f"{spec.name} {JobOptions(overrides=spec.options.overrides).flags}".rstrip()
    side = Side(name=name, model=spec.job.provider.model, answered=answered, failed=failed)
    if summary is None:
        return side
    side = msgspec.structs.replace(side, sent=summary.sent, cost=summary.cost, currency=summary.currency)
    if summary.exit_code in (EXIT_OK, EXIT_FAILURES):
        return side
    return msgspec.structs.replace(side, exit_code=summary.exit_code, stopped=summary.message or summary.stop_reason)


def versions(spec: LoadedJob) -> Compared:
    """Returns the rows of one output that were answered in more than one run: the newest answer, and the one before.

    Blocking. Raises JobError if there is no such row.
    """
    columns = shared_columns(spec, spec)
    newest = "row_number() over (partition by id order by seq desc)"
    ranked = f"select *, {newest} as place from versions qualify count(*) over (partition by id) > 1"
    connection = connect(spec)
    before, now = (
        read.query(connection, f"select {_listed(columns)}, source from ({ranked}) where place = {place}")
        for place in (2, 1)
    )
    answers = before.to_arrow_table(), now.to_arrow_table()
    if not answers[0].num_rows:
        raise spec.fail(f"no row of {spec.output} was answered twice, so there are no versions to compare")
    sides = [
        Side(name=name, model=", ".join(sorted(set(table.column("model").to_pylist()))), answered=table.num_rows)
        for name, table in zip(("before", "now"), answers, strict=True)
    ]
    return Compared(
        task=spec.job.task, columns=columns, table=joined(answers[0], answers[1], columns), sides=(sides[0], sides[1])
    )


def shared_columns(a: LoadedJob, b: LoadedJob) -> tuple[str, ...]:
    """Returns the columns of the answer that both outputs have: the task's own, and the fields of typed answers."""
    own = tuple(column.name for column in facts(a.job.task).columns if column.type != "blocks")
    typed = [DatasetSchema.load(Layout(spec.output).dataset("results"), spec.job.task).typed for spec in (a, b)]
    return own + tuple(sorted(typed[0] & typed[1]))


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in ("id", *columns, *FIGURES))


def joined(a: pa.Table, b: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Returns the rows of both, by id: `id`, `source`, and each column twice, as `a_<name>` and `b_<name>`."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.register("a", a)
    connection.register("b", b)
    pairs = [f"{side}.{quoted(name)} as {quoted(f'{side}_{name}')}" for name in (*columns, *FIGURES) for side in "ab"]
    sql = f"select a.id, a.source, {', '.join(pairs)} from a join b on a.id = b.id order by a.id"
    return connection.sql(sql).to_arrow_table()


def side_b(a: LoadedJob, overrides: Mapping[str, Any] | None) -> LoadedJob:
    """Returns the job that asks A's questions with other settings, or once more (None).

    Its output is a folder in A's output: for the same settings the same folder, for None a new one each time.
    """
    if overrides is None:
        name = f"again-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    else:
        name = f"set-{hashlib.sha256(msgspec.json.encode(overrides, order='deterministic')).hexdigest()[:12]}"
    return variant(a, overrides or {}, a.output / "compare" / name)


def picks(path: Path, ids: Sequence[str]) -> dict[str, str]:
    """Returns id → pick of a file that the page saved (CSV with the columns `id` and `pick`). Raises JobError."""
    import pyarrow as pa
    from pyarrow import csv

    try:
        texts = csv.ConvertOptions(column_types={"id": pa.string(), "pick": pa.string()})
        table = csv.read_csv(path, convert_options=texts)
        found = dict(zip(table.column("id").to_pylist(), table.column("pick").to_pylist(), strict=True))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise JobError(f"--picks {path}: expected a CSV with the columns id and pick: {error}") from None
    wrong = next((pick for pick in found.values() if pick not in (*PICKS, None, "")), None)
    if wrong is not None:
        raise JobError(f"--picks {path}: found the pick {wrong}, expected one of {', '.join(PICKS)}")
    return {id_: found[id_] for id_ in ids if found.get(id_)}


def write_compared(spec: LoadedJob, compared: Compared, dest: Path) -> None:
    """Writes the rows by the file's ending: .html, .csv, .json, .jsonl, .parquet or .arrow.

    spec: the job of side A. Raises JobError, MachineError.
    """
    ending = dest.suffix.lower().removeprefix(".")
    if ending == "html":
        write_compare_page(spec, compared, dest)
        return
    reader = full_table(compared).to_reader()
    if ending in ("csv", "json", "jsonl"):
        tables.write(reader, ending, dest)
    elif ending in ("parquet", "arrow"):
        write_batches(reader, dest)
    else:
        raise JobError(f"-o {dest}: expected .html, .csv, .json, .jsonl, .parquet or .arrow")
