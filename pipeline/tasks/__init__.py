"""The tasks: what a row asks, and which columns the reply becomes.

A task is a module here, or an object that another distribution names as an entry point of the group `pipeline.tasks`.
A task declares all that other packages must know of it: see `Task` and `pipeline.types.TaskFacts`.
"""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import entry_points
from typing import Any, Protocol, cast

from pipeline.errors import JobError
from pipeline.job.schema import JobFile
from pipeline.job.values import did_you_mean, for_message
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


@functools.cache
def load(name: TaskName) -> Task:
    """The task of that name: a built-in one, else the one of an entry point.

    Raises JobError with the known names, or naming the distribution whose task cannot be used.
    """
    if name in NAMES:
        return cast(Task, importlib.import_module(f"pipeline.tasks.{name}"))
    for point in entry_points(group=GROUP, name=name):
        origin = "an unknown distribution" if point.dist is None else f"{point.dist.name} {point.dist.version}"
        where = f"task: {name!r} is a task of {origin} ({point.value})"
        try:
            found = point.load()
        except Exception as error:
            raise JobError(f"{where}, which cannot be loaded: {type(error).__name__}: {error}") from error
        missing = [part for part in ("FACTS", "ask", "columns") if not hasattr(found, part)]
        if missing:
            raise JobError(f"{where}, which lacks {', '.join(missing)}")
        return cast(Task, found)
    known = names()
    raise JobError(f"task: found {for_message(name)}, expected one of {', '.join(known)}{did_you_mean(name, known)}")


def names() -> tuple[str, ...]:
    """The names of all tasks: the built-in ones, then those of entry points."""
    return (*NAMES, *sorted(point.name for point in entry_points(group=GROUP) if point.name not in NAMES))


def facts(name: TaskName) -> TaskFacts:
    """What the task of that name declares."""
    return load(name).FACTS
