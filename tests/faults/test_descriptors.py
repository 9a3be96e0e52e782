"""A machine that grants few descriptors, under whole commands in real processes: every row is answered."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.commands import ENVIRONMENT
from support.counted_job import CountedJob
from support.counting_server import CountingServer, Told

Ran = subprocess.CompletedProcess[str]
SUPPORT = Path(__file__).parents[1] / "support"
WANTED = 1024
WHOLE = "PIPELINE_HEAVY_TESTS" in os.environ
ROWS = 2_000 if WHOLE else 300
SECONDS = 3.0 if WHOLE else 0.2


@pytest.fixture(autouse=True)
def _many_connections() -> Iterator[None]:
    """The server of the test needs more descriptors than the command that it serves."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], min(8_192, before[1])), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def limited(limits: str, *arguments: object) -> Ran:
    """`pipeline ARGUMENTS` in a new interpreter, under what `ulimit` is told."""
    shell = ["sh", "-c", f'{limits}; exec "$@"', "sh"]
    command = [*shell, sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, check=False)


def all_answered(job: CountedJob, server: CountingServer, ids: list[str], ran: Ran) -> None:
    """Exit 0, each row answered, each bought once."""
    assert ran.returncode == 0, ran.stderr
    assert sorted(job.sql("select id, answer from results")) == sorted((id_, job.expected(id_)) for id_ in ids)
    assert job.sql("select count(*) from failures") == [(0,)]
    assert server.times_asked() == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("concurrency", [WANTED, None])
@pytest.mark.parametrize(
    "limits", ["ulimit -Sn 64", "ulimit -Sn 256", "ulimit -Sn 1024", "ulimit -n 64", "ulimit -n 256"]
)
def test_every_row_is_answered_under_few_descriptors(
    limits: str, concurrency: int | None, tmp_path: Path, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(seconds=SECONDS)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(ROWS)
    job.write(concurrency=WANTED)
    if concurrency is None:
        job.path.write_text(job.path.read_text().replace(f"concurrency = {WANTED}", ""))
    all_answered(job, server, ids, limited(limits, "run", job.path, "--quiet"))


def on_short_machine(shortage: str, *arguments: object) -> Ran:
    """`pipeline ARGUMENTS` on a machine as short_machine.py makes it."""
    command = [sys.executable, str(SUPPORT / "short_machine.py"), shortage, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ENVIRONMENT}, check=False)


def with_pictures(job: CountedJob, count: int) -> list[str]:
    """Rows with a picture of their own each."""
    for number in range(count):
        Image.new("RGB", (40, 40), (number % 256, number // 256, 0)).save(job.folder / f"{number}.png")
    job.rows({"id": f"r{number}", "topic": f"topic {number}", "image": f"{number}.png"} for number in range(count))
    return [f"r{number}" for number in range(count)]


def test_rows_wait_while_no_descriptor_is_left(tmp_path: Path, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(seconds=0.05)
    job = CountedJob(tmp_path, server)
    ids = with_pictures(job, 200)
    all_answered(job, server, ids, on_short_machine("descriptors=4,0.7", "run", job.path, "--quiet"))


@pytest.mark.skipif(not WHOLE, reason="the command waits half a minute before it gives up")
def test_rows_are_left_when_no_descriptor_comes_back(tmp_path: Path, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(seconds=0.05)
    job = CountedJob(tmp_path, server)
    ids = with_pictures(job, 200)
    ran = on_short_machine("descriptors=1,90", "run", job.path, "--quiet")
    assert ran.returncode == 4, ran.stderr
    assert "no descriptor is left" in ran.stderr
    again = limited("true", "run", job.path, "--quiet")
    all_answered(job, server, ids, again)


def test_no_module_is_loaded_while_answers_come(tmp_path: Path, server: CountingServer) -> None:
    faults = {"r3": 500, "r4": 429, "r5": 400}
    server.script = lambda asked, n: Told(status=faults.get(asked.id, 200) if n == 1 else 200)
    job = CountedJob(tmp_path, server)
    with_pictures(job, 20)
    ran = on_short_machine("opened", "run", job.path, "--quiet")
    assert ran.returncode == 1, ran.stderr
    assert "late module" not in ran.stderr


def test_the_journal_is_open_before_the_first_request(tmp_path: Path, server: CountingServer) -> None:
    job = CountedJob(tmp_path, server)
    seen: list[int] = []

    def script(asked: object, n: int) -> Told:
        seen.append(sum(path.stat().st_size > 0 for path in (job.output / "journal").glob("*.journal")))
        return Told()

    server.script = script
    job.numbered(3)
    assert limited("true", "run", job.path, "--quiet").returncode == 0
    assert seen == [1, 1, 1]
