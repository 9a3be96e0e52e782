"""The seam of progress displays, and the one that shows nothing."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from pipeline.report.state import RunState


class Progress(Protocol):
    """Shows a RunState; `update` is called a few times a second, `elapsed` in seconds since the run began."""

    def __enter__(self) -> Progress: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, state: RunState, elapsed: float) -> None: ...


class Quiet:
    """Shows nothing."""

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, state: RunState, elapsed: float) -> None:
        return None
