"""The commands. They parse their arguments, call `pipeline.api` and print. They hold no logic."""

from pipeline.cli.main import main

__all__ = ["main"]
