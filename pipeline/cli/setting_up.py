"""The commands that set a machine up: `pipeline schedule` and `pipeline completion`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.options import ENV_FILE_GIVEN, job_command

if TYPE_CHECKING:
    from pipeline.api import Job

SHELLS = ("bash", "zsh", "fish")


@click.command()
@job_command
@click.option("--at", required=True, metavar="HH:MM", help="When the run begins, each night.")
@click.option("--until", metavar="HH:MM", help="When the run stops sending.")
@click.option("--cron", is_flag=True, help="A line for cron instead of a systemd service and timer.")
def schedule(job: Job, at: str, until: str | None, cron: bool) -> None:
    """Print what makes JOB run every night: a systemd service and timer, or a line for cron.

    With --env-file the job reads its key from that file, else from ~/.config/multimodal-batch/env.
    """
    for line in job.schedule(at, until=until, cron=cron, env_file=_env_file()):
        click.echo(line)


def _env_file() -> Path | None:
    given = click.get_current_context().meta.get(ENV_FILE_GIVEN)
    return None if given is None else Path(given)


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands and options in SHELL.

    In bash: eval "$(pipeline completion bash)" in ~/.bashrc.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(click.get_current_context().find_root().command, {}, "pipeline", "_PIPELINE_COMPLETE").source())
