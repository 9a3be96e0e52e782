"""`pipeline plan`, `status`, `query`, `export` and `compact`: what sends nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import job_command

if TYPE_CHECKING:
    from pipeline.api import Job


_SAFE_CSV = click.option(
    "--safe-csv", is_flag=True, help="In CSV, put ' before texts that a spreadsheet would run as formulas."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")


@click.command()
@job_command
@_JSON
def plan(job: Job, as_json: bool) -> None:
    """Say what a run would send, refuse, cost and take, without sending anything."""
    from pipeline.report.estimate_lines import lines

    estimate = job.plan()
    _echo(estimate, [] if as_json else lines(estimate))


@click.command()
@job_command
@_JSON
def status(job: Job, as_json: bool) -> None:
    """Show what is done, left, failed (by fault and code) and spent."""
    from pipeline.report.status import lines

    _say_where(job)
    figures = job.status()
    _echo(figures, [] if as_json else lines(figures))


@click.command()
@job_command
@click.argument("sql")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("-o", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead.")
@click.option("--write", is_flag=True, help="Allow statements that write files, attach databases, install extensions.")
@_SAFE_CSV
def query(job: Job, sql: str, form: str, file: Path | None, write: bool, safe_csv: bool) -> None:
    """Run SQL in DuckDB over results, failures, dismissed, attempts, runs, spend and versions.

    The statement may read any file that DuckDB reads; it writes nothing without --write.
    """
    from pipeline.report import tables

    _say_where(job)
    tables.write(job.query(sql, write=write), form, file, safe_csv=safe_csv)


@click.command()
@job_command
@click.argument("dest", type=click.Path(dir_okay=False, path_type=Path))
@_SAFE_CSV
def export(job: Job, dest: Path, safe_csv: bool) -> None:
    """Write one row per id to DEST: .parquet, .csv or .jsonl."""
    _say_where(job)
    rows = job.export(dest, safe_csv=safe_csv)
    click.echo(f"{rows:,} rows written to {dest}", err=True)


@click.command()
@job_command
@click.option("--drop-superseded", is_flag=True, help="Also drop answers that results does not show, closed failures.")
def compact(job: Job, drop_superseded: bool) -> None:
    """Merge small parts into well-sized ones; readers see every row exactly once all along."""
    done = job.compact(drop_superseded=drop_superseded)
    dropped = f", {done.dropped:,} superseded rows dropped" if drop_superseded else ""
    click.echo(f"{done.before:,} parts before, {done.after:,} after{dropped}", err=True)


def _echo(figures: object, lines: Iterable[str]) -> None:
    """The lines, or without any the figures as JSON."""
    import msgspec

    for line in lines or [msgspec.json.format(msgspec.json.encode(figures), indent=2).decode()]:
        click.echo(line)


def _say_where(job: Job) -> None:
    if job.falls_back:
        click.echo(f"no paid answers in {job.spec.output} yet: reading those of {job.spec.output}-offline", err=True)
