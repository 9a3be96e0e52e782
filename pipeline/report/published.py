"""A file in the output that says how the run is going, for `pipeline status --watch` in another terminal."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from pipeline.report.state import Progress, RunState

EVERY = 1.0
"""Seconds between writes."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of a run at one moment. `at`: seconds since the epoch. `elapsed`: seconds since the run began."""

    run_id: str
    at: float
    elapsed: float
    state: RunState


class Published:
    """Writes a Snapshot about every second, and passes the figures on to `shown`. The file goes when the run ends."""

    def __init__(self, path: Path, run_id: str, shown: Progress) -> None:
        self._path = path
        self._run_id = run_id
        self._shown = shown
        self._next = 0.0
        self._data: bytes | None = None

    def __enter__(self) -> Published:
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__(None, None, None)
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def update(self, state: RunState, elapsed: float) -> None:
        self._shown.update(state, elapsed)
        if elapsed >= self._next:
            self._next = elapsed + EVERY
            found = Snapshot(run_id=self._run_id, at=time.time(), elapsed=elapsed, state=state)
            self._data = msgspec.json.encode(found)

    def save(self) -> None:
        self._shown.save()
        data, self._data = self._data, None
        if data is not None:
            beside = self._path.with_name(f".{self._path.name}.tmp")
            with suppress(OSError):  # a full disk must not end the run for the sake of its display
                beside.write_bytes(data)
                os.replace(beside, self._path)  # noqa: PTH105 - Path.replace is the same call


def read(path: Path) -> Snapshot | None:
    """The snapshot in the file; None where there is none, or one of another version."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Snapshot)
    except (OSError, msgspec.DecodeError):
        return None
