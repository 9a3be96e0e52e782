"""Two runs of one job at once, and runs that are asked to stop: exit codes, words, and nothing lost."""

from __future__ import annotations

import random
import signal
import socket
from pathlib import Path

import pytest
from support.commands import ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told
from support.store_disk import rounds

CONCURRENCY = 8
SOME_SECONDS = 30.0


def slow_after(count: int, seconds: float | None, server: CountingServer) -> None:
    """The first `count` requests are answered at once, the others after `seconds` (None: never)."""
    server.script = lambda asked, n: Told(seconds=seconds) if len(server.asked) >= count else PLAIN


def finished_later(child_processes: ChildProcesses, job: CountedJob, ids: list[str], server: CountingServer) -> None:
    """The next run, with a service that answers, ends with every row answered once."""
    server.script = lambda asked, n: PLAIN
    last = child_processes.run("run", job.path, "--quiet")
    assert last.wait() == 0, last.err
    assert sorted(job.sql("select id, answer from results")) == sorted((id_, job.expected(id_)) for id_ in ids)
    assert job.sql("select count(*) from failures") == [(0,)]


def test_a_second_run_exits_5_naming_the_holder_and_the_first_loses_nothing(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    slow_after(20, 1.5, server)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(30)
    first = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(20 + CONCURRENCY, SOME_SECONDS)
    for command in (["run"], ["reprocess"], ["compact"], ["accept"]):
        second = child_processes.run(*command, job.path)
        assert second.wait() == 5, second.err
        assert f"in use by process {first.pid} on {socket.gethostname()} since " in second.last
        assert "(run 2" in second.last
        assert "Traceback" not in second.err
    assert child_processes.run("query", job.path, "select count(*) from results").wait() == 0
    assert child_processes.run("status", job.path).wait() == 0
    assert first.wait() == 0, first.err
    assert server.times_asked() == dict.fromkeys(ids, 1)
    assert sorted(job.on_disk()) == sorted(ids)


def test_the_lock_of_a_dead_process_does_not_block(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    slow_after(10, None, server)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(20)
    dead = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(18, SOME_SECONDS)
    dead.kill()
    assert f'"pid":{dead.pid}' in (job.output / "run.lock").read_text()
    finished_later(child_processes, job, ids, server)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_keeps_what_is_in_flight_and_sends_no_more(
    number: signal.Signals, code: int, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    slow_after(12, 0.6, server)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(60)
    child = child_processes.start("run", job.path, "--quiet", "--grace", "20s")
    assert server.wait_asked(12 + CONCURRENCY, SOME_SECONDS)
    child.signal(number)
    assert child.wait() == code, child.err
    assert len(server.asked) == 12 + CONCURRENCY
    assert sorted(job.on_disk()) == sorted(asked.id for asked in server.asked)
    assert f"stopped by {number.name}" in child.err
    assert child.last.startswith(f"exit {code}: ")
    assert child.last.endswith(f"next: pipeline run {job.path}")
    assert job.sql('select exit_code, stop_reason, answered, "left" from runs') == [(code, "signal", 20, 40)]
    finished_later(child_processes, job, ids, server)
    assert len(server.asked) == len(ids)


def test_what_does_not_come_within_the_grace_is_left_and_sent_by_the_next_run(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    slow_after(12, None, server)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(40)
    child = child_processes.start("run", job.path, "--quiet", "--grace", "0.3s")
    assert server.wait_asked(12 + CONCURRENCY, SOME_SECONDS)
    child.signal(signal.SIGTERM)
    assert child.ended(10)
    assert child.wait() == 143, child.err
    assert len(job.on_disk()) == 12
    finished_later(child_processes, job, ids, server)
    assert len(server.asked) == len(ids) + CONCURRENCY


def test_a_second_signal_stops_at_once(tmp_path: Path, child_processes: ChildProcesses, server: CountingServer) -> None:
    slow_after(12, None, server)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(40)
    child = child_processes.start("run", job.path, "--quiet", "--grace", "10m")
    assert server.wait_asked(12 + CONCURRENCY, SOME_SECONDS)
    child.signal(signal.SIGTERM)
    assert not child.ended(0.5)
    child.signal(signal.SIGINT)
    assert child.ended(10)
    assert child.wait() == 143, child.err
    assert len(job.on_disk()) == 12
    finished_later(child_processes, job, ids, server)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_at_any_moment_ends_in_its_code_without_a_traceback(
    number: signal.Signals, code: int, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    """Before anything is sent and after everything is, a signal may end the process as it ends any other."""
    luck = random.Random(code)
    for round_ in range(rounds(2)):
        (tmp_path / f"{round_}").mkdir()
        job = CountedJob(tmp_path / f"{round_}", server)
        ids = job.numbered(30)
        child = child_processes.start("run", job.path, "--quiet")
        child.ended(luck.uniform(0.0, 0.35))
        if not child.ended(0):
            child.signal(number)
        assert child.wait(20) in (0, code, -number), child.err
        assert "Traceback" not in child.err
        assert "a bug" not in child.err
        finished_later(child_processes, job, ids, server)
