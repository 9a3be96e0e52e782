"""Streams that break under a command: its exit code is as the run went, and every answer is kept."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import ENVIRONMENT
from support.counted_job import CountedJob
from support.counting_server import CountingServer, Told

RUN = shlex.join([sys.executable, "-m", "pipeline"])
STREAMS = [
    "{} 2>/dev/full",
    "{} 2>&-",
    "{} >&-",
    "{} >&- 2>&-",
    "{} <&-",
    "{} >/dev/full 2>/dev/full",
    "{} 2>&1 | head -1",
    "{} 2>&1 | true",
    "{} 2> >(exit 0)",
    "{} 2> >(head -c 10 > /dev/null)",
]


def in_shell(line: str, command: str) -> int:
    """The exit code of the command alone, whatever else stands in the line."""
    script = line.format(command) + "; exit ${PIPESTATUS[0]}"
    ran = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **ENVIRONMENT},
        check=False,
    )
    return ran.returncode


@pytest.mark.parametrize(
    ("line", "form"), [*((line, "text") for line in STREAMS), (STREAMS[0], "json"), (STREAMS[6], "json")]
)
def test_a_broken_stream_leaves_the_run_as_it_went(
    line: str, form: str, tmp_path: Path, server: CountingServer
) -> None:
    job = CountedJob(tmp_path, server)
    server.script = lambda asked, n: Told(seconds=0.05)
    ids = job.numbered(30)
    assert in_shell(line, f"{RUN} run {shlex.quote(str(job.path))} --log-format {form}") == 0
    assert sorted(job.sql("select id from results")) == sorted((id_,) for id_ in ids)
    server.script = lambda asked, n: Told(status=400) if asked.id == "r99" else Told()
    job.numbered(100)
    assert in_shell(line, f"{RUN} run {shlex.quote(str(job.path))} --log-format {form}") == 1


def told(line: str, command: str) -> tuple[int, str]:
    """The exit code of the command alone, and what the line prints on stderr."""
    script = line.format(command) + "; exit ${PIPESTATUS[0]}"
    environment = {**os.environ, **ENVIRONMENT}
    ran = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, check=False)
    return ran.returncode, ran.stderr


def test_query_says_what_a_full_stdout_did_not_take(tmp_path: Path, server: CountingServer) -> None:
    job = CountedJob(tmp_path, server)
    job.numbered(3)
    assert in_shell("{}", f"{RUN} run {job.path}") == 0
    for sql in ("select 1", "select range, repeat('x', 100) from range(10000)"):
        for form in ("table", "json", "csv"):
            query = f'{RUN} query {job.path} "{sql}" --format {form}'
            code, said = told("{} >/dev/full", query)
            assert code == 4
            assert "stdout cannot be written: No space left on device" in said
            assert "Traceback" not in said
            assert told("{} | head -1", query) == (0, "")
            assert told("{} >&-", query)[0] == 0


def test_the_journal_never_takes_the_place_of_a_stream(tmp_path: Path, server: CountingServer) -> None:
    job = CountedJob(tmp_path, server)
    ids = job.numbered(30)
    script = "import os, sys; os.close(2); sys.stderr = None\nfrom pipeline.cli import main\nimport warnings\n"
    script += "import threading; threading.Timer(0.3, lambda: os.write(2, b'noise')).start(); main(sys.argv[1:])"
    server.script = lambda asked, n: Told(seconds=0.1)
    command = [sys.executable, "-c", script, "run", str(job.path)]
    ran = subprocess.run(command, capture_output=True, env={**os.environ, **ENVIRONMENT}, check=False)
    assert ran.returncode == 0
    assert len(job.sql("select id from results")) == len(ids)
