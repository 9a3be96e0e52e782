"""Whole runs of the command where the service is gone, or goes: what is stopped, what is kept, what is said."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest
from support.commands import ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import Asked, CountingServer, Told

HEAVY = "PIPELINE_HEAVY_TESTS" in os.environ


@pytest.fixture
def dead_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_dead_port_is_exit_4_with_the_reason(
    tmp_path: Path, server: CountingServer, child_processes: ChildProcesses, dead_port: int
) -> None:
    job = CountedJob(tmp_path, server)
    ids = job.numbered(30)
    job.write(more="[circuit]\nsilence = 1.5\n")
    job.path.write_text(job.path.read_text().replace(f":{server.port}/", f":{dead_port}/"))
    child = child_processes.run("run", job.path, "--quiet")
    assert child.wait() == 4
    assert "nothing was heard of the service, and" in child.err
    assert "attempts in 1.5 s (circuit.silence) ended without a connection" in child.err
    assert f"127.0.0.1:{dead_port}" in child.err
    job.write()
    assert child_processes.run("run", job.path, "--quiet").wait() == 0
    assert sorted(job.on_disk()) == sorted(ids)


def test_what_was_answered_before_the_network_died_is_kept(tmp_path: Path, child_processes: ChildProcesses) -> None:
    def script(asked: Asked, n: int) -> Told:
        return Told(seconds=0.2)

    with CountingServer(script) as server:
        job = CountedJob(tmp_path, server)
        ids = job.numbered(60)
        job.write(more="[circuit]\nsilence = 2\n")
        child = child_processes.start("run", job.path, "--quiet")
        assert server.wait_asked(24, 20)
    assert child.wait() == 4
    kept = job.on_disk()
    assert 8 <= len(kept) < 60
    with CountingServer(script) as server:
        job = CountedJob(tmp_path, server)
        assert child_processes.run("run", job.path, "--quiet").wait() == 0
        assert not set(kept) & set(server.times_asked())
    assert sorted(job.on_disk()) == sorted(ids)


def test_a_service_of_errors_alone_is_exit_4_with_the_reason(tmp_path: Path, child_processes: ChildProcesses) -> None:
    with CountingServer(lambda asked, n: Told(status=500)) as server:
        job = CountedJob(tmp_path, server)
        job.numbered(30)
        job.write(more="[circuit]\nsilence = 1.5\n")
        child = child_processes.run("run", job.path, "--quiet")
        assert child.wait() == 4
        assert "the service never answered" in child.err
        assert "scripted 500" in child.err


@pytest.mark.parametrize("silence", ["-1", "inf", '"long"'])
def test_a_silence_that_is_no_time_is_refused(
    tmp_path: Path, server: CountingServer, child_processes: ChildProcesses, silence: str
) -> None:
    job = CountedJob(tmp_path, server)
    job.numbered(1)
    job.write(more=f"[circuit]\nsilence = {silence}\n")
    child = child_processes.run("run", job.path, "--quiet")
    assert child.wait() == 2
    assert "circuit.silence" in child.err
    assert not server.asked


if HEAVY:

    def test_a_dead_port_ends_in_three_minutes_of_the_clock(
        tmp_path: Path, server: CountingServer, child_processes: ChildProcesses, dead_port: int
    ) -> None:
        job = CountedJob(tmp_path, server)
        job.numbered(2000)
        job.path.write_text(job.path.read_text().replace(f":{server.port}/", f":{dead_port}/"))
        began = time.monotonic()
        child = child_processes.start("run", job.path, "--quiet")
        assert child.wait(180.0) == 4
        print(f"exit 4 after {time.monotonic() - began:.1f} s")
