"""Whatever the machine does under a run, no row fails for it, no answer is lost, and it is never called a bug.

Real processes, real limits and signals; refused system calls where a real disk cannot be had. So many cases as
PIPELINE_MACHINE_ROUNDS says.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.commands import Child, ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told

ROUNDS = int(os.environ.get("PIPELINE_MACHINE_ROUNDS", "12"))
ROWS = 60
CONCURRENCY = 8
CALLS = ("open", "write", "fdatasync", "fsync", "replace", "unlink", "mkdir")
ERRORS = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EMFILE", "ENFILE", "ENOMEM", "EFBIG", "ESTALE")
ENDINGS = {0, 4, 129, 130, 143}

Fault = Callable[[Child, CountedJob, random.Random], None]


def ended(child: Child, job: CountedJob, rng: random.Random) -> None:
    child.signal(rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))


def slept(child: Child, job: CountedJob, rng: random.Random) -> None:
    child.signal(signal.SIGSTOP)
    threading.Event().wait(rng.uniform(0.05, 2.5))
    child.signal(signal.SIGCONT)


def moved(child: Child, job: CountedJob, rng: random.Random) -> None:
    place = rng.choice([job.output, job.output / "journal"])
    away = job.folder / "away"
    try:
        place.rename(away)
    except FileNotFoundError:  # the run has not begun
        return
    child.ended(60)
    if place.exists():
        place.rename(job.folder / "other")
    away.rename(place)


def limited(child: Child, job: CountedJob, rng: random.Random) -> None:
    limit, most = rng.choice(
        [(resource.RLIMIT_NOFILE, rng.randrange(8, 40)), (resource.RLIMIT_FSIZE, rng.randrange(0, 20_000))]
    )
    resource.prlimit(child.pid, limit, (most, most))


FAULTS: tuple[Fault, ...] = (ended, slept, moved, limited)


def rules(rng: random.Random) -> list[dict[str, Any]]:
    """No rule, or one for a system call on the output."""
    if rng.random() < 0.5:
        return []
    nth, lasting = rng.randrange(1, 80), rng.random() < 0.5
    return [{"call": rng.choice(CALLS), "do": rng.choice(ERRORS), "nth": nth, "lasting": lasting}]


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_no_fault_of_the_machine_costs_a_row_or_an_answer(
    seed: int, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    rng = random.Random(seed)
    server.script = lambda asked, n: Told(seconds=rng.uniform(0, 0.05))
    job = CountedJob(tmp_path, server)
    ids = job.numbered(ROWS)
    job.write(concurrency=CONCURRENCY, more="[timeouts]\nread = 1.5\ntotal = 2.0\n")
    broken = rules(rng)
    child = child_processes.start("run", job.path, "--quiet", "--grace", "10s", output=job.output, rules=broken)
    if not broken or rng.random() < 0.3:
        server.wait_asked(rng.randrange(1, ROWS), 2.0)
        if not child.ended(0):
            with contextlib.suppress(ProcessLookupError):  # it was over before the fault
                rng.choice(FAULTS)(child, job, rng)
    code = child.wait(120)
    assert code in ENDINGS, child.err
    assert "Traceback" not in child.err
    answered = {asked.id for asked in server.asked if asked.answered}
    assert len(answered - set(job.on_disk())) <= CONCURRENCY, "answers are lost"
    server.script = lambda asked, n: PLAIN
    last = child_processes.run("run", job.path, "--quiet")
    assert last.wait() == 0, last.err
    assert sorted(job.sql("select id, answer from results")) == sorted((id_, job.expected(id_)) for id_ in ids)
    assert job.sql("select count(*) from failures") == [(0,)]
    assert len(server.asked) <= ROWS + CONCURRENCY
