"""`pipeline doctor`: what in this environment, and in a job, would go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import optional_job_command
from pipeline.errors import EXIT_OK, EXIT_USAGE

if TYPE_CHECKING:
    from pipeline.api import Job


@click.command()
@optional_job_command
@click.option("--json", "as_json", is_flag=True, help="A JSON array of objects instead of lines.")
def doctor(load: Callable[[], Job] | None, as_json: bool) -> int:
    """Look over the installation, and over JOB if one is given: what would go wrong, and what mends it.

    Nothing is sent and nothing is written. The exit code is 2 where a problem was found.
    """
    import msgspec

    from pipeline.report.findings import lines
    from pipeline.run.doctor import examine

    found = examine(None if load is None else lambda: load().spec)
    for line in [msgspec.json.format(msgspec.json.encode(found), indent=2).decode()] if as_json else lines(found):
        click.echo(line)
    return EXIT_USAGE if any(finding.level == "problem" for finding in found) else EXIT_OK
