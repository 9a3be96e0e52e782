"""A process that is stopped for longer than its timeouts: what arrived meanwhile is read, and not bought again."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from support.commands import ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told

CONCURRENCY = 8
TIMEOUTS = "[timeouts]\nconnect = 1.5\nwrite = 1.5\nread = 1.5\ntotal = 2.0\n[retry]\ndeadline = '3s'\n"
TIMEOUTS += "[quality]\nrepeated = false\n"
ASLEEP = threading.Event()


@pytest.mark.parametrize("letters", [10, 40_000, 600_000])
def test_what_arrived_in_a_sleep_is_not_bought_again(
    letters: int, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    """letters: of the answer, and of the question up to a request that is not written at once."""
    text = "".join(f"{number} words. " for number in range(letters // 10))
    server.script = lambda asked, n: Told(seconds=0.4, text=text) if len(server.asked) > 10 else PLAIN
    job = CountedJob(tmp_path, server)
    rows = [{"id": f"r{number}", "topic": "t" * min(letters, 40_000)} for number in range(40)]
    job.rows(rows)
    job.write(concurrency=CONCURRENCY, more=TIMEOUTS)
    child = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(10 + CONCURRENCY, 30)
    child.signal(signal.SIGSTOP)
    ASLEEP.wait(4.0)
    child.signal(signal.SIGCONT)
    assert child.wait() == 0, child.err
    assert job.sql("select id, code from attempts where fault is not null") == []
    assert server.times_asked() == {row["id"]: 1 for row in rows}


def test_a_row_that_waits_in_a_sleep_is_asked_again(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(status=503 if n == 1 else 200)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(4)
    job.write(concurrency=CONCURRENCY, more=TIMEOUTS)
    child = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(1, 30)
    child.signal(signal.SIGSTOP)
    ASLEEP.wait(4.0)
    child.signal(signal.SIGCONT)
    assert child.wait() == 0, child.err
    assert sorted(job.sql("select id from results")) == sorted((id_,) for id_ in ids)
