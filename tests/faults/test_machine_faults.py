"""A machine that refuses writes under a whole run: exit 4 with words, all answers kept, and the next run resumes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.commands import Child, ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told

CONCURRENCY = 8
SOME_SECONDS = 30.0
NOBODY = 65534


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def stopped(child: Child, told: str) -> None:
    """The command stopped for the machine, and says so to a person."""
    assert child.wait() == 4, child.err
    assert told in child.err
    assert "Everything written before is kept" in child.err
    assert "Traceback" not in child.err
    assert "a bug" not in child.err


def completed(child_processes: ChildProcesses, job: CountedJob, ids: list[str]) -> None:
    last = child_processes.run("run", job.path, "--quiet")
    assert last.wait() == 0, last.err
    assert sorted(job.sql("select id, answer from results")) == sorted((id_, job.expected(id_)) for id_ in ids)
    assert job.sql("select count(*) from failures") == [(0,)]


REFUSALS = [
    ("ENOSPC", "write", "journal/*.journal", 30, "the disk is full: free some space"),
    ("EDQUOT", "write", "journal/*.journal", 31, "the disk quota is used up"),
    ("EIO", "fdatasync", "journal/*.journal", 2, "the device reports an error"),
    ("ENOSPC", "write", "results/*", 1, "the disk is full: free some space"),
    ("ENOSPC", "open", "failures/*", 1, "the disk is full: free some space"),
    ("ENOSPC", "replace", "attempts/*", 1, "the disk is full: free some space"),
    ("EROFS", "*", "*", 1, "the file system is read-only"),
    ("EROFS", "*", "*", 60, "the file system is read-only"),
    ("EACCES", "open", "journal/*", 1, "no permission"),
    ("EACCES", "open", "runs/*", 3, "no permission"),
]


@pytest.mark.parametrize(("name", "call", "path", "nth", "told"), REFUSALS)
def test_a_refused_write_stops_the_run_keeps_what_was_answered_and_a_later_run_completes(
    name: str,
    call: str,
    path: str,
    nth: int,
    told: str,
    tmp_path: Path,
    child_processes: ChildProcesses,
    server: CountingServer,
) -> None:
    server.script = lambda asked, n: Told(seconds=0.005)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(60)
    rule = {"call": call, "path": path, "nth": nth, "do": name}
    child = child_processes.run("run", job.path, "--quiet", output=job.output, rules=[rule])
    stopped(child, told)
    sent = {asked.id for asked in server.asked}
    assert len(sent - set(job.on_disk())) <= CONCURRENCY
    completed(child_processes, job, ids)
    assert len(server.asked) <= len(ids) + CONCURRENCY


def private_disk(place: Path) -> list[str] | None:
    """A command that gives what it starts a small disk at `place`; None where this machine does not allow it."""
    place.mkdir()
    for namespace in (["unshare", "-m"], ["unshare", "-rm"]) if shutil.which("unshare") else ():
        mount = f"mount -t tmpfs -o size=1m tmpfs {place}"
        tried = subprocess.run([*namespace, "sh", "-c", mount], capture_output=True, check=False)
        if tried.returncode == 0:
            return [*namespace, "sh", "-c", f'{mount} && exec "$@"', "sh"]
    return None


class SmallDisk:
    """An output on a disk of 1 MiB in a private mount namespace, or, where that is not allowed, with refused writes.

    `rules` goes with each command; `seen` is the same folder as other processes reach it.
    """

    def __init__(self, folder: Path, server: CountingServer) -> None:
        self.place = folder / "disk"
        self._under = private_disk(self.place)
        self.child_processes = ChildProcesses(folder, self._under or [])
        self.job = CountedJob(folder, server, output=self.place / "out")
        self.rules: list[dict[str, Any]] = []

    @property
    def seen(self) -> Path:
        return Path(f"/proc/{self.child_processes.pid}/root{self.place}") if self._under else self.place

    def fill(self, left: int) -> None:
        """Leaves so many bytes free."""
        if self._under:
            free = os.statvfs(self.seen)
            (self.seen / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - left))
        else:
            self.rules = [{"call": call, "do": "ENOSPC", "nth": 40} for call in ("write", "mkdir")]

    def empty(self) -> None:
        if self._under:
            (self.seen / "filler").unlink()
        self.rules = []

    def read_only(self, yes: bool) -> None:
        if self._under:
            option = f"remount,{'ro' if yes else 'rw'}"
            pid = str(self.child_processes.pid)
            command = ["nsenter", "-t", pid, "-m", "-U", "--preserve-credentials"]
            command = command if "-rm" in self._under else command[:4]
            subprocess.run([*command, "mount", "-o", option, str(self.place)], check=True)
        else:
            self.rules = [{"call": "*", "do": "EROFS"}] if yes else []

    def run(self) -> Child:
        child = self.child_processes.run("run", self.job.path, "--quiet", output=self.job.output, rules=self.rules)
        self.rules = [{**rule, "nth": 1} for rule in self.rules]  # what is full stays full
        return child

    def answers(self) -> list[str]:
        out = self.child_processes.run("export", self.job.path, self.job.folder / "answers.csv")
        assert out.wait() == 0, out.err
        return (self.job.folder / "answers.csv").read_text().splitlines()[1:]


def test_a_full_disk_stops_the_run_and_once_there_is_space_the_next_one_completes(
    tmp_path: Path, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(seconds=0.002, text="long " * 200 + asked.id)
    disk = SmallDisk(tmp_path, server)
    ids = disk.job.numbered(150)
    with disk.child_processes:
        disk.fill(left=96 * 1024)
        stopped(disk.run(), "the disk is full: free some space")
        sent = len({asked.id for asked in server.asked})
        assert CONCURRENCY < sent < len(ids)
        stopped(disk.run(), "the disk is full: free some space")
        assert len(server.asked) <= sent + 2 * CONCURRENCY + 1
        disk.empty()
        last = disk.run()
        assert last.wait() == 0, last.err
        assert len(disk.answers()) == len(ids)
        assert len(server.asked) <= len(ids) + 2 * CONCURRENCY + 1


def test_a_read_only_disk_is_told_before_anything_is_sent_and_its_answers_can_be_read(
    tmp_path: Path, server: CountingServer
) -> None:
    disk = SmallDisk(tmp_path, server)
    ids = disk.job.numbered(30)
    with disk.child_processes:
        assert disk.child_processes.run("run", disk.job.path, "--quiet", "--limit", 10).wait() == 0
        disk.read_only(True)
        stopped(disk.run(), "the file system is read-only")
        assert len(server.asked) == 10
        assert len(disk.answers()) == 10
        disk.read_only(False)
        assert disk.run().wait() == 0
        assert len(disk.answers()) == len(server.asked) == len(ids)


UNPRIVILEGED: dict[str, Any] = {"uid": NOBODY} if os.getuid() == 0 else {}


def permit(folder: Path, forbidden: str | None) -> None:
    """Everybody may write everything under `folder`, except in `forbidden` (for `out`: and in all that is in it)."""
    for path in (folder, *folder.rglob("*")):
        name = str(path.relative_to(folder))
        refused = name == forbidden or (forbidden == "out" and name.startswith("out/"))
        path.chmod((0o555 if refused else 0o777) if path.is_dir() else (0o444 if refused else 0o666))


@pytest.mark.parametrize("forbidden", [".", "out", "out/journal", "out/results", "out/runs"])
def test_without_permission_the_run_stops_and_with_it_the_next_one_completes(
    forbidden: str, open_folder: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    job = CountedJob(open_folder, server)
    ids = job.numbered(20)
    if forbidden != ".":
        assert child_processes.run("run", job.path, "--quiet", "--limit", 5).wait() == 0
    sent = len(server.asked)
    permit(open_folder, forbidden)
    child = child_processes.run("run", job.path, "--quiet", **UNPRIVILEGED)
    stopped(child, "no permission: give this user write access, or set another output")
    assert len({asked.id for asked in server.asked[sent:]} - set(job.on_disk())) <= CONCURRENCY
    assert child_processes.run("status", job.path, **UNPRIVILEGED).wait() == 0
    permit(open_folder, None)
    completed(child_processes, job, ids)


def test_an_output_moved_away_under_a_run_stops_it_and_put_back_has_every_answer(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(seconds=0.7) if len(server.asked) >= 12 else PLAIN
    job = CountedJob(tmp_path, server)
    ids = job.numbered(20)
    child = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(12 + CONCURRENCY, SOME_SECONDS)
    job.output.rename(tmp_path / "elsewhere")
    stopped(child, "the output folder or a part of it is gone")
    shutil.rmtree(job.output, ignore_errors=True)
    (tmp_path / "elsewhere").rename(job.output)
    assert set(job.on_disk()) == {asked.id for asked in server.asked}
    completed(child_processes, job, ids)
    assert server.times_asked() == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("gone", [".", "results", "journal", "runs"])
def test_an_output_removed_under_a_run_stops_it_and_the_next_one_completes(
    gone: str, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(seconds=0.7) if len(server.asked) >= 12 else PLAIN
    job = CountedJob(tmp_path, server)
    ids = job.numbered(20)
    child = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(12 + CONCURRENCY, SOME_SECONDS)
    shutil.rmtree(job.output / gone)
    stopped(child, "the output folder or a part of it is gone")
    completed(child_processes, job, ids)


def test_a_clock_that_jumps_backwards_between_nights_changes_no_view(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    job = CountedJob(tmp_path, server)
    ids = job.numbered(10)
    assert child_processes.run("run", job.path, "--quiet").wait() == 0
    for night, model in enumerate(("m2", "m3"), start=1):
        job.write(model=model)
        redo = child_processes.run("run", job.path, "--quiet", "--changed", "redo", clock=-86_400 * night)
        assert redo.wait() == 0, redo.err
        found = job.sql("select id, answer, stale from results")
        assert sorted(found) == sorted((id_, job.expected(id_, model), False) for id_ in ids)
    assert job.sql("select count(*) from versions") == [(30,)]
    (first, last) = job.sql("select arg_min(finished_at, seq), arg_max(finished_at, seq) from versions")[0]
    assert last < first
