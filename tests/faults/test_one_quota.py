"""Several runs of one account at once: together they ask for its quota, whatever becomes of one of them.

A service that enforces 50 requests in any second judges, by its own windows. MULTIMODAL_BATCH_LONG=1 runs the long form
of three minutes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import ChildProcesses
from support.counting_server import CountingServer
from support.enforcing import Enforcing, end_all, start_run

LONG = bool(os.environ.get("MULTIMODAL_BATCH_LONG"))
QUOTA = 50
SECONDS = 180.0 if LONG else 12.0
RPM = f"rpm = {QUOTA * 60}"


@pytest.fixture
def commands(own_runtime: Path, tmp_path: Path) -> Iterator[ChildProcesses]:
    with ChildProcesses(tmp_path) as child_processes:
        yield child_processes


def wait_first(service: Enforcing) -> float:
    until = time.monotonic() + 60
    while not service.arrived:
        assert time.monotonic() < until
        time.sleep(0.01)
    return service.arrived[0]


@pytest.mark.parametrize("runs", [2, 4])
def test_runs_at_once_share_one_quota_and_one_may_be_killed(
    commands: ChildProcesses, tmp_path: Path, runs: int
) -> None:
    service = Enforcing(QUOTA)
    with CountingServer(service) as server:
        rows = int(SECONDS * QUOTA * 1.2)
        children = [start_run(commands, server, tmp_path / f"r{n}", rows, RPM) for n in range(runs)]
        began = wait_first(service)
        time.sleep(SECONDS / 2)
        before_kill = service.by_run.copy()
        killed = time.monotonic()
        children[0].kill()
        time.sleep(SECONDS / 2)
        ended = time.monotonic()
        end_all(children)
    figures = {
        "refused": service.refused / len(service.arrived),
        "used": len(service.taken) / QUOTA / (ended - began),
        "least in 10 s before the kill": service.least_taken(10.0, began + 1, killed) if LONG else None,
        "least in 10 s with the kill": service.least_taken(10.0, killed - 10, killed + 10) if LONG else None,
        "least in 10 s after the kill": service.least_taken(10.0, killed + 0.5, ended) if LONG else None,
        "most in 60 s": service.most_arrived(60.0),
        "by run": dict(before_kill),
    }
    print(runs, figures)
    assert service.most_arrived(60.0) <= QUOTA * min(60.0, ended - began) * 1.01 + 1
    assert service.refused <= 0.02 * len(service.arrived)  # apart from each other: a tenth
    assert len(service.taken) >= 0.85 * QUOTA * (ended - began)
    assert min(before_kill.values()) >= 0.5 * max(before_kill.values())
