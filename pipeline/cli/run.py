"""`pipeline run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import job_command
from pipeline.errors import JobError

if TYPE_CHECKING:
    from pipeline.api import Job


@click.command()
@job_command
@click.option("--limit", type=click.IntRange(min=0), help="Send at most N rows, the first that need it.")
@click.option("--sample", type=click.IntRange(min=0), help="Send at most N rows, spread evenly over the manifest.")
@click.option(
    "--changed", type=click.Choice(["keep", "redo"]), help="When the job changed: keep answers, or redo rows."
)
@click.option("--rehash", is_flag=True, help="Read every answered picture again instead of trusting size and time.")
@click.option("--until", metavar="HH:MM", help="Stop sending at this local time.")
@click.option("--grace", default="25s", show_default=True, help="How long a stop waits for rows in flight.")
@click.option("--summary", type=click.Path(dir_okay=False), help="Write the summary as JSON to this file.")
@click.option("--quiet", is_flag=True, help="No progress display.")
def run(
    job: Job, limit: int | None, sample: int | None, changed: str | None, rehash: bool, until: str | None,
    grace: str, summary: str | None, quiet: bool,
) -> int:  # fmt: skip
    """Run a job, or resume it: sends what is new, changed, left or failed in passing."""
    from pipeline.engines.options import RunOptions, until_seconds
    from pipeline.job.units import duration
    from pipeline.report.summary import lines

    try:
        options = RunOptions(
            limit=limit,
            sample=sample,
            changed=changed,
            rehash=rehash,
            until=None if until is None else until_seconds(until),
            grace=duration(grace),
            progress=not quiet,
            signals=True,
        )
    except ValueError as error:
        raise JobError(str(error)) from None
    done = job.run(options=options)
    if summary is not None:
        _write(Path(summary), done)
    for line in lines(done):
        click.echo(line, err=True)
    return done.exit_code


def _write(path: Path, summary: object) -> None:
    import msgspec

    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    except OSError as error:
        click.echo(f"pipeline: --summary {path} could not be written: {error.strerror}", err=True)
