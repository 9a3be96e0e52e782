"""The commands that need no job file: `pipeline init`, `caption`, `ocr`, `embed` and `ask`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline.cli.options import ENV_FILE, say, settings_of
from pipeline.cli.run import CHANGED, SAMPLE, options_of, run_options, say_notes, show
from pipeline.errors import JobError
from pipeline.machine import require_address_space

_PROVIDER = click.option("--provider", help="The service: dashscope, qianfan or openai. By default, the model says so.")
_CHOICES = (
    click.option("--model", help="The model. By default, the usual model of the task."),
    _PROVIDER,
    click.option("--base-url", metavar="URL", help="The address of a server that speaks OpenAI's protocol."),
    click.option("--prompt", metavar="TEXT", help="What is asked of each picture; {name} is a column of the table."),
)
_HELP = {
    "caption": "Describe each picture of SOURCE.",
    "ocr": "Read the text in each picture of SOURCE.",
    "embed": "Make a vector of each picture, sound or text of SOURCE.",
    "ask": "Ask a question about each picture of SOURCE.",
}


def _with_choices(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_CHOICES):
        function = option(function)
    return function


def _source(given: tuple[str, ...]) -> str:
    """Returns the single source. Raises JobError for several sources, which a shell makes of an unquoted pattern."""
    if len(given) == 1:
        return given[0]
    folders = {str(Path(one).parent) for one in given}
    folder = folders.pop() if len(folders) == 1 else "FOLDER"
    ending = Path(given[0]).suffix
    raise JobError(f"{len(given):,} sources: name their folder ({folder}), or quote the pattern: '{folder}/*{ending}'")


def command_of(task: str) -> click.Command:
    """Returns the command of a task. The command takes a SOURCE instead of a job file."""

    @click.command(task)
    @click.argument("source", nargs=-1, required=True)
    @_with_choices
    @click.option("-o", "--output", type=click.Path(), help="The output folder. By default ./<source's name>-<task>.")
    @click.option("--offline", is_flag=True, help="Use the embedded service: no key, no network, no cost.")
    @click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any key, such as limits.rpm=600.")
    @ENV_FILE
    @run_options
    @SAMPLE
    @CHANGED
    def command(
        source: tuple[str, ...], output: str | None, offline: bool, settings: tuple[str, ...], **rest: Any
    ) -> int:
        from pipeline.api import Job

        require_address_space()
        choices = {name: rest.pop(name) for name in ("model", "provider", "base_url", "prompt")}
        job = Job(
            task=task,
            manifest=_source(source),
            output=output,
            offline=offline,
            overrides=settings_of(settings),
            **choices,
        )
        options = options_of(rest)
        say_notes(job, rest)
        return show(job.run(options=options), rest)

    command.help = (
        f"{_HELP[task]}\n\nSOURCE is a folder, a table, a list, an archive, a pattern or one picture. The job is "
        "kept in the output folder: the same call resumes, and each other command takes the folder as its JOB."
    )
    return command


@click.command()
@click.argument("source", nargs=-1, required=True)
@click.option("--task", type=click.Choice(list(_HELP)), help="What is wanted of each picture.")
@_with_choices
@click.option(
    "-o", "file", type=click.Path(path_type=Path), help="The job file. By default ./<source's name>-<task>.toml."
)
def init(source: tuple[str, ...], task: str | None, file: Path | None, **choices: str | None) -> None:
    """Write a commented job file for SOURCE, and say what SOURCE holds.

    SOURCE is a folder, a table, a list, an archive, a pattern or a query (sql:…).
    """
    from pipeline.run.init_job import write_job
    from pipeline.run.new_job import Choices, source_of

    found = source_of(_source(source))
    if task is None:
        task = _asked("Task", list(_HELP), "caption", "--task is needed: caption, ocr, embed or ask")
    if choices["model"] is None and choices["base_url"] is None and _is_terminal():
        choices["model"] = _asked_model(task, choices["provider"])
    for line in write_job(task, found, Choices(**choices), file, dict(os.environ)):
        say(line, err=True)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _asked(question: str, choices: list[str], default: str, otherwise: str) -> str:
    if not _is_terminal():
        raise JobError(otherwise)
    return str(click.prompt(question, type=click.Choice(choices), default=default, err=True))


def _asked_model(task: str, provider: str | None) -> str:
    """Shows the known models of a task with their prices, and returns the model that a person chooses."""
    from pipeline.run.init_job import models_for
    from pipeline.run.new_job import Choices, usual_model

    _, usual = usual_model(task, Choices(provider=provider), os.environ)
    for line in models_for(task, provider):
        say(line, err=True)
    return str(click.prompt("Model", default=usual, err=True))
