"""The commands that send nothing: plan, status, query, export, compact, doctor, models and serve."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import job_command, optional_job_command, say, say_where
from pipeline.errors import EXIT_OK, EXIT_USAGE, JobError

if TYPE_CHECKING:
    from pipeline.api import Job

_SAFE_CSV = click.option(
    "--safe-csv", is_flag=True, help="In CSV, put ' before texts that a spreadsheet would run as formulas."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")


@click.command()
@job_command
@_JSON
@click.option("--sizes", is_flag=True, help="Also what smaller pictures would cost ([media] max_tokens).")
@click.option("--similar", is_flag=True, help="Also how many pictures are nearly equal. Reads the pictures.")
def plan(job: Job, as_json: bool, sizes: bool, similar: bool) -> None:
    """Say what a run would send, refuse, cost and take, without sending anything."""
    from pipeline.report.estimate_lines import lines

    estimate = job.plan(sizes=sizes, similar=similar)
    _echo(estimate, [] if as_json else lines(estimate))


@click.command()
@job_command
@_JSON
@click.option("--watch", is_flag=True, help="Follow a run that goes on, as its own terminal shows the run.")
def status(job: Job, as_json: bool, watch: bool) -> None:
    """Show what is done, left, failed (by fault and code) and spent."""
    from pipeline.report.summary import status_lines

    say_where(job)
    if watch:
        job.watch()
    figures = job.status()
    _echo(figures, [] if as_json else status_lines(figures))


@click.command()
@job_command
@click.argument("sql")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    help="The form of the rows. Default: what the ending of -o says, else table.",
)
@click.option(
    "-o",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file: .csv, .json, .jsonl, .parquet or .arrow.",
)
@click.option("--write", is_flag=True, help="Allow statements that write files, attach databases, install extensions.")
@_SAFE_CSV
def query(job: Job, sql: str, form: str | None, file: Path | None, write: bool, safe_csv: bool) -> None:
    """Run SQL in DuckDB over results, failures, dismissed, attempts, runs, spend and versions.

    The statement may read any file that DuckDB reads; it writes nothing without --write.
    """
    from pipeline.report import tables
    from pipeline.store.export import write_batches

    say_where(job)
    ending = "" if file is None else file.suffix.lower().removeprefix(".")
    if file is not None and form is None and ending in ("parquet", "arrow"):
        write_batches(job.query(sql, write=write), file)
        return
    form = form or (ending if ending in ("csv", "json", "jsonl") else "table")
    tables.write(job.query(sql, write=write), form, file, safe_csv=safe_csv)


@click.command()
@job_command
@click.argument("dest", required=False, type=click.Path(path_type=Path))
@click.option("--columns", metavar="A,B", help="Only these columns of results.")
@click.option("--without", metavar="A,B", help="All columns but these.")
@click.option("--to", "form", type=click.Choice(["hf"]), help="An image folder with metadata.jsonl, for datasets.")
@click.option("--sidecar", type=click.Choice(["txt", "json", "xmp"]), help="A small file for each row instead.")
@click.option("--template", metavar="TEXT", help="The text of a sidecar; {name} is a column of results.")
@click.option("--overwrite", is_flag=True, help="Sidecars also replace files that no earlier export wrote.")
@_SAFE_CSV
def export(job: Job, dest: Path | None, sidecar: str | None, form: str | None, **chosen: Any) -> None:
    """Write one row per id to DEST: .parquet, .csv, .jsonl, .arrow, .lance, .duckdb, or - for stdout as JSONL.

    With --sidecar, each answer goes into a file beside its picture, or below the folder DEST with the same tree.
    """
    say_where(job)
    safe_csv = chosen.pop("safe_csv")
    columns, without = _names(chosen.pop("columns")), _names(chosen.pop("without"))
    if sidecar is not None:
        for line in job.sidecars(sidecar, dest, columns=columns, without=without, **chosen).lines(sidecar):
            say(line, err=True)
        return
    if form is not None and dest is not None:
        for line in job.image_folder(dest, columns=columns, without=without).lines(dest):
            say(line, err=True)
        return
    if dest is None or chosen["template"] is not None or chosen["overwrite"]:
        raise JobError("export needs DEST, a file; --template and --overwrite are for --sidecar")
    rows = job.export(dest, columns=columns, without=without, safe_csv=safe_csv)
    click.echo(f"{rows:,} rows written to {'stdout' if str(dest) == '-' else dest}", err=True)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


@click.command()
@job_command
@click.option("--drop-superseded", is_flag=True, help="Also drop answers that results does not show, closed failures.")
def compact(job: Job, drop_superseded: bool) -> None:
    """Merge small parts into well-sized ones; readers see every row exactly once all along."""
    done = job.compact(drop_superseded=drop_superseded)
    dropped = f", {done.dropped:,} superseded rows dropped" if drop_superseded else ""
    click.echo(f"{done.before:,} parts before, {done.after:,} after{dropped}", err=True)


def _echo(figures: object, status_lines: Iterable[str]) -> None:
    """Prints the lines, or the figures as JSON if there are no lines."""
    import msgspec

    for line in status_lines or [msgspec.json.format(msgspec.json.encode(figures), indent=2).decode()]:
        say(line)


@click.command()
@optional_job_command
@click.option("--no-calls", is_flag=True, help="Send nothing.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array of objects instead of lines.")
def doctor(load: Callable[[], Job] | None, no_calls: bool, as_json: bool) -> int:
    """Look over the installation, and over JOB if one is given: what would go wrong, and what mends it.

    One question of a few tokens goes to JOB's model, if JOB has a key and nothing else is wrong with JOB. Nothing is
    written. The exit code is 2 where a problem was found.
    """
    import msgspec

    from pipeline.run.doctor import examine
    from pipeline.run.environment import lines

    found = examine(None if load is None else lambda: load().spec, calls=not no_calls)
    for line in [msgspec.json.format(msgspec.json.encode(found), indent=2).decode()] if as_json else lines(found):
        say(line)
    return EXIT_USAGE if any(finding.level == "problem" for finding in found) else EXIT_OK


@click.command()
@click.argument("name", required=False)
@click.option("--provider", help="Only the models of this service.")
@click.option("--json", "as_json", is_flag=True, help="A JSON array of objects instead of lines.")
def models(name: str | None, provider: str | None, as_json: bool) -> None:
    """List the models that are known: tasks, limits, prices, retirement. With NAME, all that is known of one."""
    import datetime

    from pipeline.job.load import user_models
    from pipeline.report.models import details, entries, of_name, table

    own, today = user_models(), datetime.date.today()
    found = list(entries(provider, own)) if name is None else of_name(name, provider, own)
    if as_json:
        import msgspec

        known = [msgspec.to_builtins(entry) for entry in found]
        click.echo(msgspec.json.format(msgspec.json.encode(known), indent=2).decode())
        return
    for line in table(found, today) if name is None else (line for entry in found for line in details(entry, today)):
        say(line)


class _Number(click.FloatRange):
    """A finite number above 0."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        number: float = super().convert(value, param, context)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to count by.", param, context)
        return number


_POSITIVE = _Number(min=0, min_open=True)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes any free port.")
@click.option("--rpm", type=_POSITIVE, help="Throttle at so many requests a minute, and a sixtieth of it a second.")
@click.option("--tpm", type=_POSITIVE, help="Throttle at so many tokens a minute.")
@click.option("--latency", "latency_ms", type=_Number(min=0), default=0.0, help="Milliseconds added to every answer.")
@click.option("--fail", metavar="SPEC", help='Faults to rehearse, such as "429:5%,500:1%,cut:0.5%".')
@click.option("--seed", type=int, default=0, show_default=True, help="Makes scripted faults repeat themselves.")
def serve(port: int, rpm: float | None, tpm: float | None, latency_ms: float, fail: str | None, seed: int) -> None:
    """Serve the embedded service over HTTP on 127.0.0.1, for trying clients and rehearsing faults and quotas."""
    from pipeline.api import serve as start

    start(port=port, rpm=rpm, tpm=tpm, latency_ms=latency_ms, fail=fail, seed=seed)
