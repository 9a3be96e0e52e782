"""The options that every JOB command takes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pipeline.errors import JobError
from pipeline.machine import require_address_space

if TYPE_CHECKING:
    from pipeline.api import Job

_JOB = click.argument("job_file", metavar="JOB", type=click.Path())
_OPTIONAL_JOB = click.argument("job_file", metavar="[JOB]", type=click.Path(), required=False)
_OPTIONS = (
    click.option("--output", type=click.Path(), help="Another output folder than the job's."),
    click.option("--offline", is_flag=True, help="Use the embedded service: no key, no network, no cost."),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key, such as limits.rpm=600."),
    click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="Fills {NAME} in manifest, output."),
)


ENV_FILE_GIVEN = "pipeline.env_file"
"""Where the context of a command has the path of --env-file."""


def _read_env_file(context: click.Context, _: click.Parameter, file: str | None) -> str | None:
    """Puts the variables of a file into the environment. A variable that is set already stays. Raises JobError."""
    context.meta[ENV_FILE_GIVEN] = file
    if file is not None:
        from dotenv import load_dotenv

        try:
            with open(file, encoding="utf-8") as lines:  # noqa: PTH123 - a text, as the option gives it
                load_dotenv(stream=lines)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no text"
            raise JobError(f"--env-file {file}: cannot be read: {reason}") from None
    return file


ENV_FILE = click.option(
    "--env-file",
    type=click.Path(),
    callback=_read_env_file,
    is_eager=True,
    expose_value=False,
    help="Variables (NAME=value lines) that are not set yet, such as the key.",
)
"""The option that reads the key's variable from a file."""


def job_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the JOB argument and its options. The command receives the loaded `job` as its first argument."""

    @functools.wraps(function)
    def command(
        *, job_file: str, output: str | None, offline: bool, settings: tuple[str, ...], variables: tuple[str, ...],
        **rest: Any,
    ) -> Any:  # fmt: skip
        return function(_load(job_file, output, offline, settings, variables), **rest)

    return _with_options(command, _JOB)


def optional_job_command(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command an optional JOB argument and its options.

    The command receives a function that loads the job, or None if there is no JOB.
    """

    @functools.wraps(function)
    def command(
        *, job_file: str | None, output: str | None, offline: bool, settings: tuple[str, ...],
        variables: tuple[str, ...], **rest: Any,
    ) -> Any:  # fmt: skip
        if job_file is None:
            return function(None, **rest)
        return function(functools.partial(_load, job_file, output, offline, settings, variables), **rest)

    return _with_options(command, _OPTIONAL_JOB)


def say(line: str, *, err: bool = False) -> None:
    """Prints a line for people, wrapped at words on a terminal."""
    from pipeline.report.terminal import wrapped

    click.echo(wrapped(line, sys.stderr if err else sys.stdout), err=err)


def say_where(job: Job) -> None:
    """Says that a job without paid answers shows those of the embedded service."""
    if job.falls_back:
        click.echo(f"no paid answers in {job.spec.output} yet: reading those of {job.spec.output}-offline", err=True)


def open_page(address: str) -> None:
    """Opens a page in the default browser, or says that there is none."""
    import webbrowser

    if not webbrowser.open(address):
        click.echo(f"no browser was found; open {address}", err=True)


def _with_options(command: Callable[..., Any], job: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed((job, *_OPTIONS, ENV_FILE)):
        command = option(command)
    return command


def _load(
    job_file: str, output: str | None, offline: bool, settings: tuple[str, ...], variables: tuple[str, ...]
) -> Job:
    from pipeline.api import Job

    require_address_space()
    return Job.load(
        job_file,
        overrides=settings_of(settings),
        variables=dict(_variable(text) for text in variables),
        output=output,
        offline=offline,
    )


def settings_of(settings: tuple[str, ...]) -> dict[str, Any]:
    """Returns the settings of `--set` as overrides of a job. Raises JobError."""
    from pipeline.job.overrides import parse_setting

    return dict(parse_setting(text) for text in settings)


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise JobError(f"--var {text}: expected NAME=VALUE, such as date=2026-11-21")
    return name, value
