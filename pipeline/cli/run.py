"""`pipeline run`, and the options that all commands which send requests share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import job_command, say
from pipeline.errors import JobError

if TYPE_CHECKING:
    from pipeline.api import Job
    from pipeline.report.summary import Summary
    from pipeline.run.run_options import RunOptions

_SENDING = (
    click.option("--limit", type=click.IntRange(min=0), help="Send at most N rows, the first that need it."),
    click.option("--until", metavar="HH:MM", help="Stop sending at this local time."),
    click.option("--grace", default="25s", show_default=True, help="How long a stop waits for rows in flight."),
    click.option("--summary", type=click.Path(dir_okay=False), help="Write the summary as JSON to this file."),
    click.option("--quiet", is_flag=True, help="No progress display."),
    click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="The form of the lines on stderr.",
    ),
    click.option("--metrics", type=click.Path(dir_okay=False), help="Keep a Prometheus text file up to date."),
)


SAMPLE = click.option(
    "--sample", type=click.IntRange(min=0), help="Send at most N rows, spread evenly over the manifest."
)
CHANGED = click.option(
    "--changed", type=click.Choice(["ask", "keep", "redo"]), help="When the job changed: keep answers, or redo rows."
)


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options of every command that sends requests."""
    for option in reversed(_SENDING):
        function = option(function)
    return function


def options_of(chosen: Mapping[str, Any]) -> RunOptions:
    """Returns the options in the form that the engine takes. Raises JobError."""
    from pipeline.run.run_options import RunOptions, until_seconds

    try:
        return RunOptions(
            limit=chosen["limit"],
            sample=chosen.get("sample"),
            changed=chosen.get("changed"),
            rehash=chosen.get("rehash", False),
            until=None if chosen["until"] is None else until_seconds(chosen["until"]),
            grace=_grace(chosen["grace"]),
            progress=not chosen["quiet"],
            log_format=chosen["log_format"],
            metrics=chosen["metrics"],
            signals=True,
        )
    except ValueError as error:
        raise JobError(str(error)) from None


def _grace(text: str) -> float:
    from pipeline.job.values import duration

    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(f"--grace: {error}") from None


def say_notes(job: Job, chosen: Mapping[str, Any]) -> None:
    """Prints likely mistakes in the job, before anything is sent."""
    for note in job.notes():
        if chosen["log_format"] == "json":
            import msgspec

            click.echo(msgspec.json.encode({"event": "note", "message": note}).decode(), err=True)
        else:
            say(f"note: {note}", err=True)


def show(summary: Summary, chosen: Mapping[str, Any]) -> int:
    """Prints a summary, writes the summary to the file of --summary, and returns the exit code."""
    from pipeline.report.summary import json_line, lines

    if chosen["summary"] is not None:
        _write(Path(chosen["summary"]), summary)
    if chosen["log_format"] == "json":
        click.echo(json_line(summary), err=True)
    else:
        for line in lines(summary):
            say(line, err=True)
    return summary.exit_code


@click.command()
@job_command
@run_options
@SAMPLE
@CHANGED
@click.option("--rehash", is_flag=True, help="Read every answered picture again instead of trusting size and time.")
def run(job: Job, **chosen: Any) -> int:
    """Run a job, or resume it: sends what is new, changed, left or failed in passing."""
    options = options_of(chosen)
    say_notes(job, chosen)
    return show(job.run(options=options), chosen)


def _write(path: Path, summary: Summary) -> None:
    import msgspec

    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    except OSError as error:
        click.echo(f"pipeline: --summary {path} could not be written: {error.strerror}", err=True)
