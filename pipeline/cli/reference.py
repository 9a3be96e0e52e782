"""Builds the reference of the commands from their help. `python -m pipeline.cli.reference` writes README.md here."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli.main import cli

PAGE = Path(__file__).with_name("README.md")
HEAD = """# The commands

Written by `python -m pipeline.cli.reference` from the help of each command. `pipeline COMMAND --help` prints the same.

Each command that takes a JOB has these options:
"""


def reference() -> str:
    """Returns the page as Markdown: the options of every JOB command, then a section for each command's own options."""
    commands = [cli.commands[name] for name in sorted(cli.commands)]
    of_a_job = [command for command in commands if "JOB" in _arguments(command)]
    common = [option for option in _options(of_a_job[0]) if all(option in _options(other) for other in of_a_job)]
    return "\n".join([HEAD, *_table(common), *(_section(command, common) for command in commands)])


def _section(command: click.Command, common: list[str]) -> str:
    about = (command.help or "").replace("\b", "").strip().splitlines()
    own = [option for option in _options(command) if option not in common]
    head = f"## pipeline {command.name} {_arguments(command)}".rstrip()
    example = f"```sh no-run\n{str(command.epilog).removeprefix('Example: ')}\n```"
    return "\n".join([head, "", *(line.strip() for line in about), "", example, "", *_table(own)])


def _table(options: list[str]) -> list[str]:
    return ["| option | meaning |", "| --- | --- |", *options, ""] if options else []


def _arguments(command: click.Command) -> str:
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    return " ".join(_placeholder(argument) for argument in arguments)


def _placeholder(argument: click.Argument) -> str:
    name = str(argument.name).upper()
    return argument.metavar or (name if argument.required else f"[{name}]")


def _options(command: click.Command) -> list[str]:
    """Returns a table row for each option."""
    rows = []
    for option in command.params:
        if isinstance(option, click.Option):
            names = ", ".join(f"`{name}{_value(option)}`" for name in (*option.opts, *option.secondary_opts))
            default = f" Default: {option.default}." if option.show_default else ""
            rows.append(f"| {names} | {option.help}{default} |")
    return rows


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " " + " or ".join(option.type.choices)
    return " " + (option.metavar or option.type.name.removesuffix(" range").upper())


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
