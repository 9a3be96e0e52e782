"""Jobs and rows for the tests of manifests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import Fault
from pipeline.job.schema import ColumnsSection, JobFile, ProviderSection
from pipeline.manifest import open_manifest
from pipeline.types import Row, TaskName

T = TypeVar("T")


def job_of(task: TaskName = "caption", columns: Mapping[str, str] | None = None) -> JobFile:
    """A job of which a manifest reads the task and the names of columns."""
    return JobFile(
        task=task,
        manifest="m",
        output="o",
        provider=ProviderSection(name="openai", model="m"),
        columns=ColumnsSection(**dict(columns or {})),
    )


def rows_of(path: Path | str, task: TaskName = "caption", **columns: str) -> list[Row]:
    """All rows of a manifest; `columns` as in the job's table."""
    return list(open_manifest(str(path), job_of(task, columns)).rows())


def written(folder: Path, name: str, content: str | bytes) -> Path:
    """A file with that content."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def ids(rows: list[Row]) -> list[str]:
    return [row.id for row in rows]


def problems(rows: list[Row]) -> dict[str, Any]:
    """id → code of the rows that have a problem."""
    return {row.id: row.problem.code for row in rows if row.problem is not None}


def outcome(call: Callable[[], T]) -> tuple[T | None, str | None]:
    """(what the call gave, None), or (None, the code of its refusal)."""
    try:
        return call(), None
    except Fault as fault:
        return None, fault.code
