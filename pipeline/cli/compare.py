"""`pipeline compare`: two jobs, two settings of one job, or two versions of one output, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import job_command, say, settings_of
from pipeline.errors import JobError

if TYPE_CHECKING:
    from pipeline.api import Job


@click.command()
@job_command
@click.argument("other", required=False, type=click.Path(exists=True))
@click.option("--set-b", "settings_b", multiple=True, metavar="KEY=VALUE", help="B is JOB with this setting.")
@click.option("--again", is_flag=True, help="B asks JOB's questions again: shows what a model's new snapshot changed.")
@click.option("--versions", is_flag=True, help="The newest answers of JOB beside the ones before. Sends nothing.")
@click.option("--sample", type=click.IntRange(min=1), help="Compare N rows, and send those that are not answered.")
@click.option("--picks", type=click.Path(exists=True, path_type=Path), help="The picks that the page saved (CSV).")
@click.option(
    "-o", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write .html, .csv, .jsonl, .parquet or .arrow."
)
def compare(job: Job, other: str | None, settings_b: tuple[str, ...], again: bool, **chosen: Any) -> int:
    """Show the answers of JOB (A) and of B to the same rows side by side.

    B is OTHER, a second job, or JOB with --set-b or --again, or the newest answers of JOB with --versions. With
    --sample, rows that A or B has not answered are sent first; without it, nothing is sent.
    """
    from pipeline.report.compared import lines
    from pipeline.run.compare import write_compared

    if sum((other is not None, bool(settings_b), again, chosen["versions"])) != 1:
        raise JobError("compare needs one B: OTHER (a second job), --set-b KEY=VALUE, --again or --versions")
    file: Path | None = chosen.pop("file")
    overrides = settings_of(settings_b) if settings_b or again else None
    compared = job.compare(other, overrides=overrides, progress=True, **chosen)
    for line in lines(compared):
        say(line)
    if file is not None:
        write_compared(job.spec, compared, file)
        click.echo(f"{compared.table.num_rows:,} rows written to {file}", err=True)
    return compared.exit_code
