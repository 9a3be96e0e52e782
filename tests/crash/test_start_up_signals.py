"""Commands that are ended while they start: no traceback, nothing left behind, nothing sent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.commands import ENVIRONMENT
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told

CODES = {signal.SIGINT: (130, -signal.SIGINT), signal.SIGTERM: (143, -signal.SIGTERM), signal.SIGHUP: (129, -1)}
BEGIN = "import os, sys, threading; from pipeline.__main__ import main; {}; sys.argv[0] = 'pipeline'; main()"


def started(begin: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`pipeline ARGUMENTS` after the Python of `begin`, with its own temporary folder."""
    environment: dict[str, Any] = {**os.environ, **ENVIRONMENT, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", BEGIN.format(begin), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("number", list(CODES))
@pytest.mark.parametrize("milliseconds", [5, 50, 150, 300, 500])
def test_a_signal_in_start_up_leaves_no_traceback(
    number: signal.Signals, milliseconds: int, tmp_path: Path, server: CountingServer
) -> None:
    job = CountedJob(tmp_path, server)
    server.script = lambda asked, n: Told(seconds=0.3)
    job.numbered(30)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    begin = f"threading.Timer({milliseconds / 1000}, os.kill, (os.getpid(), {int(number)})).start()"
    ran = started(begin, temporary, "run", job.path, "--quiet", "--grace", "5s")
    assert ran.returncode in CODES[number], ran.stderr
    assert "Traceback" not in ran.stderr
    if ran.returncode > 0:
        assert ran.stderr.splitlines()[-1].startswith(f"exit {ran.returncode}: ")
        assert list(temporary.iterdir()) == []
    assert len(job.on_disk()) == len(server.asked)


def test_nohup_is_kept(tmp_path: Path, server: CountingServer) -> None:
    job = CountedJob(tmp_path, server)
    server.script = lambda asked, n: Told(seconds=0.3)
    job.numbered(30)
    begin = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
    begin += "threading.Timer(1, os.kill, (os.getpid(), signal.SIGHUP)).start()"
    assert started(begin, tmp_path, "run", job.path, "--quiet").returncode == 0


def test_a_killed_start_up_is_swept_by_the_next_run(tmp_path: Path, server: CountingServer) -> None:
    job = CountedJob(tmp_path, server)
    server.script = lambda asked, n: PLAIN
    job.numbered(30)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    # Killed where the manifest is read for the plan.
    hook = "sys.addaudithook(lambda name, told: name == 'open' and str(told[0]).endswith('rows.jsonl') and "
    hook += f"os.listdir({str(temporary)!r}) and os.kill(os.getpid(), 9))"
    ran = started(hook, temporary, "run", job.path, "--quiet")
    assert ran.returncode == -signal.SIGKILL
    assert list(temporary.iterdir()) != []
    assert started("pass", temporary, "run", job.path, "--quiet").returncode == 0
    assert list(temporary.iterdir()) == []


def test_old_folders_of_ended_processes_are_swept(tmp_path: Path, server: CountingServer) -> None:
    job = CountedJob(tmp_path, server)
    job.numbered(3)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    gone, here = int(ended.stdout), os.getpid()
    temporary = tmp_path / "tmp"
    old = (
        f"pipeline-sql-{gone}-old",
        f"pipeline-sql-{here}-old",
        "pipeline-plan-x",
        "pipeline-query-x",
        "mine",
    )
    for name in old:
        (temporary / name).mkdir(parents=True)
        (temporary / name / "duckdb_temp_storage-0.tmp").write_bytes(b"x")
        os.utime(temporary / name, (0, 0))
    (temporary / f"pipeline-sql-{gone}-now").mkdir()
    assert started("pass", temporary, "run", job.path, "--quiet").returncode == 0
    left = {path.name for path in temporary.iterdir()}
    assert left == {"mine", f"pipeline-sql-{here}-old", f"pipeline-sql-{gone}-now"}
