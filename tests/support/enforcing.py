"""A service that takes so many requests in any second, and what came of the runs that asked it."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from pathlib import Path
from typing import Any

from support.commands import Child, ChildProcesses
from support.counting_server import Asked, CountingServer, Told

JOB = """
task = "ask"
manifest = "rows.jsonl"
output = "out"
provider = {{ name = "openai", model = "m", base_url = "{base}" }}
limits = {{ {limits} }}
"""


class Enforcing:
    """`script` of a CountingServer: 429 beyond `count` requests in any second. Times are seconds, ascending."""

    def __init__(self, count: int, latency: float = 0.1) -> None:
        self.count = count
        self.latency = latency
        self.arrived: list[float] = []
        self.taken: list[float] = []
        self.by_run: Counter[str] = Counter()
        self._second: deque[float] = deque()

    def __call__(self, asked: Asked, n: int) -> Told:
        now = time.monotonic()
        self.arrived.append(now)
        while self._second and self._second[0] <= now - 1.0:
            self._second.popleft()
        if len(self._second) >= self.count:
            return Told(status=429)
        self._second.append(now)
        self.taken.append(now)
        self.by_run[asked.id.partition("-")[0]] += 1
        return Told(seconds=self.latency)

    @property
    def refused(self) -> int:
        return len(self.arrived) - len(self.taken)

    def most_arrived(self, seconds: float) -> int:
        """The most requests, refused ones too, within any window of so many seconds."""
        return max(bisect_left(self.arrived, at + seconds) - n for n, at in enumerate(self.arrived))

    def least_taken(self, seconds: float, since: float, until: float) -> int:
        """The fewest requests that were taken within a window of so many seconds, by tenths of a second."""
        windows = [since + n / 10 for n in range(int((until - since - seconds) * 10) + 1)]
        return min(bisect_left(self.taken, at + seconds) - bisect_left(self.taken, at) for at in windows)


def start_run(child_processes: ChildProcesses, server: CountingServer, folder: Path, rows: int, limits: str) -> Child:
    """A run of its own over `rows` rows, whose ids begin with the folder's name."""
    folder.mkdir()
    with (folder / "rows.jsonl").open("w") as lines:
        for number in range(rows):
            lines.write(f'{{"id": "{folder.name}-{number}", "prompt": "[{folder.name}-{number}]"}}\n')
    job = folder / "job.toml"
    job.write_text(JOB.format(base=server.base_url, limits=limits))
    return child_processes.start("run", job)


def end_all(children: list[Child]) -> list[Any]:
    """kill -9 for all that still run; their exit codes."""
    return [child.kill() for child in children]
