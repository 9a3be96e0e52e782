"""The reference of the commands is current, and the README has every command."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from pipeline.cli.main import cli
from pipeline.cli.reference import PAGE, reference

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_commands_say():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run python -m pipeline.cli.reference"


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_the_readme_has_the_command(name):
    assert f"pipeline {name}" in README


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_option_of_the_command_says_what_it_does(name):
    for parameter in cli.commands[name].params:
        assert isinstance(parameter, click.Argument) or parameter.help
