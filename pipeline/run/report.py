"""Writes the report of a job: one HTML page with figures, failures and rows, which requests nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.errors import JobError
from pipeline.job.load import LoadedJob
from pipeline.report.page import filled, in_script
from pipeline.run import report_figures
from pipeline.run.output import connect
from pipeline.run.report_failures import reasons
from pipeline.run.report_near import Vectors
from pipeline.run.report_pictures import LARGE, SMALL, pictures
from pipeline.run.report_rows import Fields, Keys, facets, plain, read_rows, sample
from pipeline.store.disk import DISK, machine, replacing, write_all
from pipeline.store.read import settle

if TYPE_CHECKING:
    import duckdb

SCRIPT = "report.js"
ROWS = 2_000
"""Rows in the page unless the command says another number."""
MOST_BYTES = 20_000_000
"""Bytes of the page. Rows are left out, evenly, until the page fits."""
LARGE_BYTES = 80_000
"""What the larger picture of a row takes in the page, at most nearly always: then all rows have one. Else none has."""
NEAR_BYTES = 200
"""What a row's neighbours take."""

Progress = Callable[[int, int], None]
"""Is called with (pictures made, all pictures)."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was written. shown, total: rows in the page, and rows of the output (answers and open failures)."""

    path: Path
    shown: int
    total: int
    bytes: int


def write_report(
    spec: LoadedJob, dest: Path, most: int = ROWS, progress: Progress = lambda done, total: None
) -> Report:
    """Writes the page to `dest` in one step. Missing folders are made.

    most: rows in the page, at most. progress: is told how far the pictures are. Raises JobError, StoreError,
    QueryError, MachineError.
    """
    if dest.is_dir():
        raise JobError(f"{dest}: must be a file, and is a folder")
    connection = connect(spec)
    settle(connection)
    fields = Fields.of(connection, spec)
    keys = sample(connection, most)
    head = page_head(connection, spec, fields, keys)
    budget = MOST_BYTES - len(filled(spec.shown, SCRIPT, head)) - 1_000
    rows = with_pictures(spec, read_rows(connection, fields, keys.answers, keys.failures), budget, progress)
    rows = thinned(rows, budget)
    if fields.vector:
        _add_near(connection, rows)
    head["sample"] = _sample(rows, keys)
    head["near_among"] = len(rows)
    body = filled(spec.shown, SCRIPT, {**head, "rows": rows})
    with machine("write the report", dest.parent):
        dest.parent.mkdir(parents=True, exist_ok=True)
        with replacing(DISK, dest) as fd:
            write_all(DISK, fd, body)
    return Report(path=dest, shown=len(rows), total=keys.answers_total + keys.failures_total, bytes=len(body))


def page_head(connection: duckdb.DuckDBPyConnection, spec: LoadedJob, fields: Fields, keys: Keys) -> dict[str, Any]:
    """Returns what the page shows besides rows. keys: the rows by which columns are chosen as filters."""
    failures, left_out = reasons(connection, spec.command)
    head = {
        "job": spec.shown,
        "task": spec.job.task,
        "model": spec.job.provider.model,
        "provider": spec.job.provider.name,
        "output": str(spec.output),
        "offline": spec.offline,
        "made": time.time(),
        "live": False,
        "search": False,
        "totals": report_figures.totals(connection),
        "runs": report_figures.runs(connection),
        "charts": report_figures.charts(connection),
        "failures": failures,
        "failures_left_out": left_out,
        "text": fields.text,
        "vector": fields.vector,
        "fields": [{"name": field.name, "origin": field.origin} for field in fields.shown],
        "fields_left_out": fields.left_out,
        "facets": facets(connection, fields, keys.answers),
    }
    return {name: plain(value) for name, value in head.items()}


def with_pictures(
    spec: LoadedJob, rows: list[dict[str, Any]], budget: int, progress: Progress = lambda done, total: None
) -> list[dict[str, Any]]:
    """Adds to each row its thumbnail, and a larger picture where all rows have room for one."""
    sides = (LARGE, SMALL) if len(rows) * LARGE_BYTES <= budget else (SMALL,)
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress(done, len(rows))

    made = pictures([row.get("source", ()) for row in rows], sides, spec.job.media.dpi, one_more)
    return [{**row, **picture.fields()} for row, picture in zip(rows, made, strict=True)]


def thinned(rows: list[dict[str, Any]], budget: int) -> list[dict[str, Any]]:
    """Returns the rows that fit: first without their larger pictures, then fewer rows, taken evenly."""
    sizes = _sizes(rows)
    if sum(sizes) > budget:
        rows = [{name: value for name, value in row.items() if name != "large"} for row in rows]
        sizes = _sizes(rows)
    kept = list(range(len(rows)))
    while kept and (total := sum(sizes[place] for place in kept)) > budget:
        wanted = min(len(kept) - 1, int(len(kept) * budget / total))
        kept = [place for number, place in enumerate(kept) if number * wanted % len(kept) < wanted]
    return [rows[place] for place in kept]


def _sizes(rows: Sequence[dict[str, Any]]) -> list[int]:
    return [len(in_script(row).encode()) + NEAR_BYTES for row in rows]


def _add_near(connection: duckdb.DuckDBPyConnection, rows: Sequence[dict[str, Any]]) -> None:
    answered = [row["seq"] for row in rows if row["state"] != "failed"]
    near = Vectors(connection, answered).nearest()
    for row in rows:
        if row["state"] != "failed":
            row["near"] = near.get(row["seq"], [])


def _sample(rows: Sequence[dict[str, Any]], keys: Keys) -> dict[str, int]:
    failures = sum(row["state"] == "failed" for row in rows)
    return {
        "answers": len(rows) - failures,
        "failures": failures,
        "answers_total": keys.answers_total,
        "failures_total": keys.failures_total,
    }
