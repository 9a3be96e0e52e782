"""The tasks: what a row asks, and which columns the reply becomes.

A task is a module here, or an object that another distribution names as an entry point of the group `pipeline.tasks`.
A task declares all that other packages must know of it: see `Task` and `pipeline.types.TaskFacts`.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, Protocol, cast

from pipeline.job.entry_points import Extensible
from pipeline.job.schema import JobFile
from pipeline.types import Reply, Request, Row, TaskFacts, TaskName

NAMES = ("caption", "ocr", "embed", "ask")
"""The built-in tasks: the modules of these names."""
GROUP = "pipeline.tasks"
"""The group of entry points under which other distributions name their tasks."""


class Task(Protocol):
    """A task's module. It may also have `check(reply, request) -> tuple[str, str] | None`: (code, message) of a reply
    that came whole but cannot be an answer; the row becomes `suspect` with `Local.<code>`."""

    FACTS: TaskFacts

    def ask(self, row: Row, job: JobFile) -> Request:
        """The request of a row. Raises Fault for a row that asks nothing, or what the task does not take."""
        ...

    def columns(self, reply: Reply, request: Request) -> dict[str, Any]:
        """The values of the columns that `FACTS.columns` declares."""
        ...


_TASKS = Extensible("task", GROUP, NAMES, ("FACTS", "ask", "columns"))


@functools.cache
def load(name: TaskName) -> Task:
    """The task of that name: a built-in one, else the one of an entry point. Raises JobError."""
    if name in NAMES:
        return cast(Task, importlib.import_module(f"pipeline.tasks.{name}"))
    return cast(Task, _TASKS.brought(name))


def names() -> tuple[str, ...]:
    """The names of all tasks: the built-in ones, then those of entry points."""
    return _TASKS.names()


def facts(name: TaskName) -> TaskFacts:
    """What the task of that name declares."""
    return load(name).FACTS
