"""The tasks: what a row asks, and which columns its reply becomes. A task's name is its module's."""

from __future__ import annotations

import importlib
from typing import Any, Protocol, cast

from pipeline.job.schema import JobFile
from pipeline.types import Reply, Request, Row, TaskName


class Task(Protocol):
    """A task's module."""

    def ask(self, row: Row, job: JobFile) -> Request: ...

    def columns(self, reply: Reply, request: Request) -> dict[str, Any]: ...


def load(name: TaskName) -> Task:
    """The task of that name."""
    return cast(Task, importlib.import_module(f"pipeline.tasks.{name}"))
