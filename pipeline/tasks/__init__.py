"""The tasks. A task makes the request of a row, and turns the reply into columns.

A task is a module here, or an object that another distribution names as an entry point of the group `pipeline.tasks`.
A task declares everything that other packages must know about it: see `Task` and `pipeline.types.TaskFacts`.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any, Protocol, cast

from pipeline.errors import JobError
from pipeline.job.entry_points import Extensible
from pipeline.job.schema import JobFile
from pipeline.types import Reply, Request, Row, TaskFacts, TaskName

NAMES = ("caption", "ocr", "embed", "ask")
"""The built-in tasks: the modules with these names."""
GROUP = "pipeline.tasks"
"""The group of entry points under which other distributions name their tasks."""


class Task(Protocol):
    """A task's module or object.

    A task may also have `check(reply, request) -> tuple[str, str] | None`. `check` returns (code, message) for a
    complete reply that cannot be an answer. The row then fails as `suspect`, with the code `Local.<code>`.
    """

    FACTS: TaskFacts

    def ask(self, row: Row, job: JobFile) -> Request:
        """Returns the request of a row. Raises Fault for a row that asks nothing, or has an input that the task does
        not take."""
        ...

    def columns(self, reply: Reply, request: Request) -> dict[str, Any]:
        """Returns the values of the columns that `FACTS.columns` declares."""
        ...


VECTOR = "embedding"
"""The name of a column of vectors, by which readers of outputs know the vectors."""

_TASKS = Extensible("task", GROUP, NAMES, ("FACTS", "ask", "columns"))


@functools.cache
def load(name: TaskName) -> Task:
    """Returns the task with this name: a built-in task, else the task of an entry point. Raises JobError."""
    if name in NAMES:
        return cast(Task, importlib.import_module(f"pipeline.tasks.{name}"))
    task = cast(Task, _TASKS.brought(name))
    for column in task.FACTS.columns:
        if (column.type == "vector") != (column.name == VECTOR):
            raise JobError(f"task {name}: a column of vectors, and no other, is called {VECTOR}; rename {column.name}")
    return task


def names() -> tuple[str, ...]:
    """Returns the names of all tasks: first the built-in tasks, then the tasks of entry points."""
    return _TASKS.names()


def facts(name: TaskName) -> TaskFacts:
    """Returns the facts that the task with this name declares."""
    return load(name).FACTS
