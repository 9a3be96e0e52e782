"""The quota that a run finds is kept for the next run of the account, without the key."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import Asked, CountingServer, Told

PER_SECOND = 20


class Limited:
    """Takes so many requests in any second."""

    def __init__(self) -> None:
        self.refused = 0
        self._taken: deque[float] = deque()
        self._lock = threading.Lock()

    def __call__(self, asked: Asked, n: int) -> Told:
        now = time.monotonic()
        with self._lock:
            while self._taken and self._taken[0] <= now - 1.0:
                self._taken.popleft()
            if len(self._taken) < PER_SECOND:
                self._taken.append(now)
                return Told()
            self.refused += 1
            return Told(status=429)


@pytest.fixture
def commands(own_runtime: Path, tmp_path: Path) -> Iterator[ChildProcesses]:
    with ChildProcesses(tmp_path) as child_processes:
        yield child_processes


def test_the_next_run_begins_at_the_quota_that_was_found(
    own_runtime: Path, commands: ChildProcesses, tmp_path: Path
) -> None:
    with CountingServer() as server:
        job = CountedJob(tmp_path, server)
        refused = []
        for night, rows in enumerate((700, 240)):
            server.script = service = Limited()
            job.rows({"id": f"n{night}-{row}", "topic": f"{night} {row}"} for row in range(rows))
            job.write(prompt="Say {topic}", more="[quality]\nrepeated = false\n")
            child = commands.start("run", job.path)
            assert child.wait() == 0, child.err
            refused.append(service.refused)
            assert "requests a second" in child.err
            assert "requests a second" in (job.job().status().quota or "")
    assert refused[1] <= refused[0] / 2, refused
    kept = list(own_runtime.rglob("*.json"))
    assert len(kept) == 1
    assert b"sk-" not in kept[0].read_bytes()
    assert kept[0].stat().st_mode & 0o077 == 0
