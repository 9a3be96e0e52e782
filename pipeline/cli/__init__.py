"""The commands: they parse, call `pipeline.api`, print, and hold no logic."""

from pipeline.cli.main import main

__all__ = ["main"]
