"""What a person is told by a machine that is short of disk or memory: exit 4, a sentence, nothing sent or left over."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from support.commands import ENVIRONMENT
from support.counted_job import CountedJob
from support.counting_server import CountingServer

from pipeline.errors import MachineError
from pipeline.machine import LEAST_ADDRESS_SPACE, machine_error_of, pass_on
from pipeline.store.parts import reading_part

Ran = subprocess.CompletedProcess[str]

ROWS = 3_000
MAY_MOUNT = subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0
"""Whether this user may have a file system of its own for one process."""


@pytest.fixture
def job(tmp_path: Path, server: CountingServer) -> CountedJob:
    made = CountedJob(tmp_path, server)
    made.numbered(ROWS)
    (tmp_path / "tmp").mkdir()
    return made


def command(job: CountedJob, before: str, *arguments: object, shell: tuple[str, ...] = ()) -> Ran:
    """`pipeline ARGUMENTS` after the shell's `before`, with a temporary folder of its own."""
    line = [*shell, "sh", "-c", f'{before} && exec "$@"', "sh", sys.executable, "-m", "pipeline", *map(str, arguments)]
    env = {**os.environ, **ENVIRONMENT, "TMPDIR": str(job.folder / "tmp")}
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=60, check=False)


def stopped(ran: Ran, *words: str) -> None:
    assert ran.returncode == 4, ran.stderr
    assert all(one in ran.stderr for one in words), ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.skipif(not MAY_MOUNT, reason="this user may not mount")
@pytest.mark.parametrize("size", ["8k", "64k"])
@pytest.mark.parametrize("name", ["run", "plan"])
def test_a_full_temporary_folder_stops_a_plan(name: str, size: str, job: CountedJob, server: CountingServer) -> None:
    mount = f'mount -t tmpfs -o size={size} tmpfs "$TMPDIR"'
    ran = command(job, mount, name, job.path, shell=("unshare", "-rm"))
    stopped(ran, "No space left on device", "the disk is full: free some space")
    assert server.asked == []
    assert command(job, "true", "run", job.path, "--quiet").returncode == 0


@pytest.mark.parametrize("name", ["run", "plan"])
def test_a_limit_on_files_stops_a_plan(name: str, job: CountedJob, server: CountingServer) -> None:
    stopped(command(job, "ulimit -f 20", name, job.path), "ulimit -f")
    assert server.asked == []
    assert list((job.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("mebibytes", [200, 350, 700, LEAST_ADDRESS_SPACE // 2**20 - 1])
@pytest.mark.parametrize("name", ["run", "plan", "query", "status"])
def test_too_few_addresses_are_told_beforehand(
    name: str, mebibytes: int, job: CountedJob, server: CountingServer
) -> None:
    sql = ["select * from results"] if name == "query" else []
    ran = command(job, f"ulimit -v {mebibytes * 1024}", name, job.path, *sql)
    stopped(ran, f"(ulimit -v) is {mebibytes:,} MiB", "raise the limit")
    assert server.asked == []
    assert not job.output.exists()
    assert list((job.folder / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    "told",
    [
        "libarrow.so.2600: failed to map segment from shared object",
        "libarrow.so.2600: cannot open shared object file: Cannot allocate memory",
        "libarrow.so.2600: cannot open shared object file: Too many open files",
    ],
)
def test_a_library_without_memory_is_the_machines(told: str) -> None:
    assert machine_error_of(ImportError(told)) is not None
    with pytest.raises(ImportError):
        pass_on(ImportError(told))


def test_a_library_that_is_not_there_is_not_the_machines() -> None:
    for told in ("No module named 'pypdfium2'", "libgomp.so.1: cannot allocate memory in static TLS block"):
        assert machine_error_of(ImportError(told)) is None


@pytest.mark.parametrize(
    "error",
    [
        pa.lib.ArrowMemoryError("malloc of size 64 failed"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable"),
    ],
)
def test_a_part_is_not_damaged_where_memory_is_short(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as raised, reading_part(tmp_path / "part.parquet"):
        raise error
    assert isinstance(machine_error_of(raised.value), MachineError)
