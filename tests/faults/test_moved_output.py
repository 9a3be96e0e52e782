"""An output folder that is moved away under a run, and another one put in its place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.commands import ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told

SOME_SECONDS = 30.0


@pytest.mark.parametrize("copied", [True, False])
@pytest.mark.parametrize("moved", [".", "journal"])
def test_a_folder_in_the_place_of_ours_stops_the_run(
    moved: str, copied: bool, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(seconds=0.7) if len(server.asked) >= 12 else PLAIN
    job = CountedJob(tmp_path, server)
    ids = job.numbered(60)
    child = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(12 + 8, SOME_SECONDS)
    place = job.output / moved
    place.rename(tmp_path / "elsewhere")
    if copied:
        shutil.copytree(tmp_path / "elsewhere", place)
    else:
        for name in ("", "journal", "results", "failures", "attempts", "runs") if moved == "." else ("",):
            (place / name).mkdir(exist_ok=True)
    assert child.wait() == 4, child.err
    assert "was moved away while the run wrote to it" in child.err
    assert len(server.asked) < len(ids)
    shutil.rmtree(place)
    (tmp_path / "elsewhere").rename(place)
    server.script = lambda asked, n: PLAIN
    assert set(job.on_disk()) == {asked.id for asked in server.asked}
    last = child_processes.run("run", job.path, "--quiet")
    assert last.wait() == 0, last.err
    assert server.times_asked() == dict.fromkeys(ids, 1)
