"""kill -9 at any moment of a whole run: nothing counted is lost, nothing but what was in flight is paid twice."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Child, ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import PLAIN, Asked, CountingServer, Told
from support.store_disk import rounds

CONCURRENCY = 8
SOME_SECONDS = 30.0


def moody(luck: random.Random, latency: float, *, passing: bool = True) -> Callable[[Asked, int], Told]:
    """Every 11th row is rejected for good; every 13th fails once in `passing`."""

    def script(asked: Asked, n: int) -> Told:
        number = int(asked.id[1:])
        seconds = luck.uniform(0, latency)
        if number % 11 == 5:
            return Told(400, code="invalid_request", seconds=seconds)
        if passing and number % 13 == 7 and n == 1:
            return Told(500, seconds=seconds)
        return Told(seconds=seconds)

    return script


class Ledger:
    """What the server saw of one job over all its runs, held against what the output keeps."""

    def __init__(self, job: CountedJob, server: CountingServer) -> None:
        self.job = job
        self.server = server
        self.kills = 0
        self.lost = 0
        self._seen = 0
        self._kept: set[str] = set()

    def after(self, child: Child) -> None:
        """The command is dead or done: whatever it had an answer to is kept, except what was in flight."""
        self.server.wait_idle()
        kept = set(self.job.on_disk())
        assert kept >= self._kept
        asked = self.server.asked[self._seen :]
        lost = {one.id for one in asked if one.status != 500 and one.id not in kept}
        assert len(lost) <= CONCURRENCY
        if child.wait() == -signal.SIGKILL:
            self.kills += 1
        else:
            assert not lost
        self.lost += len(lost)
        self._seen += len(asked)
        self._kept = kept

    def paid_again(self) -> int:
        """Requests beyond the first of a row, without those that followed a scripted fault."""
        faults = sum(one.status == 500 for one in self.server.asked)
        return len(self.server.asked) - faults - len(self.server.times_asked())

    def closes(self, ids: list[str]) -> None:
        """The run has ended by itself: every id once, with its own answer, and the bill is in order."""
        rejected = {id_ for id_ in ids if int(id_[1:]) % 11 == 5}
        with self.job.job().connect() as views:
            answers = views.sql("select id, answer from results").fetchall()
            failures = views.sql("select id, fault, http_status from failures").fetchall()
            (versions, unended) = views.sql(
                "select (select count(*) from versions), (select count(*) from runs where finished_at is null)"
            ).fetchall()[0]
        assert sorted(answers) == sorted((id_, self.job.expected(id_)) for id_ in ids if id_ not in rejected)
        assert sorted(failures) == sorted((id_, "rejected", 400) for id_ in rejected)
        assert versions == len(answers)
        assert unended <= self.kills
        assert sorted(self.job.on_disk()) == sorted(ids)
        assert self.paid_again() <= self.lost <= self.kills * CONCURRENCY
        assert not list((self.job.output / "journal").iterdir())


def tear(output: Path, luck: random.Random) -> None:
    """Bytes that nobody meant: behind the whole records of the newest segment, as a dying machine leaves them."""
    segments = sorted((output / "journal").glob("*.journal"))
    if not segments:
        return
    whole = segments[-1].read_bytes()
    tails = (
        luck.randbytes(luck.randint(1, 64)),
        bytes(luck.randint(1, 4096)),
        whole[luck.randrange(20, 200) :][: luck.randint(1, 90)],
        (500).to_bytes(4, "little") + luck.randbytes(40),
    )
    with segments[-1].open("ab") as file:
        file.write(luck.choice(tails))


def test_runs_killed_at_random_lose_nothing_and_pay_twice_for_no_more_than_was_in_flight(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    luck = random.Random(20261121)
    server.script = moody(luck, latency=0.02)
    most = rounds(6)
    played = campaigns = kills = again = 0
    while played < most:
        campaigns += 1
        (tmp_path / f"{campaigns}").mkdir()
        job = CountedJob(tmp_path / f"{campaigns}", server)
        ids = job.numbered(240)
        server.forget()
        ledger = Ledger(job, server)
        while True:
            child = child_processes.start("run", job.path, "--quiet")
            if played < most:
                played += 1
                if luck.random() < 0.5:
                    child.ended(luck.uniform(0.0, 0.5))
                else:
                    server.wait_asked(len(server.asked) + luck.randrange(60), 2.0)
                child.kill()
            child.wait()
            ledger.after(child)
            if child.wait() != -signal.SIGKILL:
                break
            if luck.random() < 0.7:
                tear(job.output, luck)
        assert child.wait() == 1, child.err
        ledger.closes(ids)
        kills += ledger.kills
        again += ledger.paid_again()
    print(f"{played} rounds, {campaigns} outputs, {kills} kills, {again} rows sent again")
    assert kills >= most // 2


def test_every_answer_that_was_received_before_the_kill_is_kept(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    """The server falls silent after 40 answers. When 8 more requests have come, all 40 were received: a slot is free
    for the next request only once the answer before it is in the journal."""
    silent = True

    def script(asked: Asked, n: int) -> Told:
        return Told(seconds=None) if silent and len(server.asked) >= 40 else PLAIN

    server.script = script
    job = CountedJob(tmp_path, server)
    ids = job.numbered(100)
    child = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(40 + CONCURRENCY, SOME_SECONDS)
    assert not child.ended(0.1)
    assert child.kill() == -signal.SIGKILL
    received = {asked.id for asked in server.asked if asked.answered}
    assert len(received) == 40
    assert set(job.on_disk()) == received
    tear(job.output, random.Random(1))
    silent = False
    assert child_processes.run("run", job.path, "--quiet").wait() == 0
    assert sorted(job.sql("select id, answer from results")) == sorted((id_, job.expected(id_)) for id_ in ids)
    assert sum(server.times_asked().values()) == 100 + CONCURRENCY


POINTS = {
    "half a record appended": ("write", "journal/*.journal", 41, "half"),
    "after an append": ("write", "journal/*.journal", 42, "after"),
    "half of the segment's head": ("write", "journal/*.journal", 1, "half"),
    "before the segment's head is synced": ("fdatasync", "journal/*.journal", 1, "before"),
    "before a sync": ("fdatasync", "journal/*.journal", 2, "before"),
    "after a sync": ("fdatasync", "journal/*.journal", 2, "after"),
    "before anything": ("mkdir", ".", 1, "before"),
    "before the output is marked as ours": ("replace", "runs/format.json", 1, "before"),
    "after the output is marked as ours": ("replace", "runs/format.json", 1, "after"),
    "before the views": ("replace", "catalog.sql", 1, "before"),
    "in the run's start": ("write", "runs/.*.parquet.tmp", 1, "half"),
    "before the columns are known": ("replace", "results/000000000000-000000000000.parquet", 2, "before"),
    "half a part written": ("write", "results/.0*[1-9]*.parquet.tmp", 1, "half"),
    "after a part is written": ("fdatasync", "results/.0*[1-9]*.parquet.tmp", 1, "before"),
    "before a part gets its name": ("replace", "results/0*[1-9]*.parquet", 1, "before"),
    "after a part has its name": ("replace", "results/0*[1-9]*.parquet", 1, "after"),
    "between answers and failures": ("open", "failures/.0*[1-9]*.parquet.tmp", 1, "before"),
    "between failures and attempts": ("replace", "attempts/0*[1-9]*.parquet", 1, "before"),
    "before the journal is dropped": ("unlink", "journal/*.journal", 1, "before"),
    "after the journal is dropped": ("unlink", "journal/*.journal", 1, "after"),
    "before the last figures": ("replace", "runs/summary.json", 1, "before"),
    "after the last figures": ("replace", "runs/summary.json", 1, "after"),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_a_chosen_point_resumes(
    point: str, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    call, path, nth, do = POINTS[point]
    rule = {"call": call, "path": path, "nth": nth, "do": do}
    server.script = moody(random.Random(point), latency=0.004, passing=False)
    job = CountedJob(tmp_path, server)
    ids = job.numbered(60)
    ledger = Ledger(job, server)
    child = child_processes.run("run", job.path, "--quiet", output=job.output, rules=[rule])
    assert child.wait() == -signal.SIGKILL, f"the point was not reached: {child.err}"
    ledger.after(child)
    tear(job.output, random.Random(point))
    for _ in range(min(2, rounds(0))):  # killed while it recovers, too
        ledger.after(child_processes.run("run", job.path, "--quiet", output=job.output, rules=[{**rule, "nth": 1}]))
    last = child_processes.run("run", job.path, "--quiet")
    assert last.wait() == 1, last.err
    ledger.after(last)
    ledger.closes(ids)


COMPACT_POINTS = {
    "half a merged part written": ("write", "results/.*.1.parquet.tmp", 1, "half"),
    "before a merged part gets its name": ("replace", "results/*.1.parquet", 1, "before"),
    "after a merged part has its name": ("replace", "results/*.1.parquet", 1, "after"),
    "before the folder's names are synced": ("fsync", "results", 1, "before"),
    "between two datasets": ("open", "attempts/.*.1.parquet.tmp", 1, "before"),
}


@pytest.fixture(scope="module")
def three_nights(tmp_path_factory: pytest.TempPathFactory, child_processes: ChildProcesses) -> Path:
    """The output of a job after three runs of eight rows each."""
    folder = tmp_path_factory.mktemp("nights")
    with CountingServer(moody(random.Random(3), latency=0.0, passing=False)) as server:
        job = CountedJob(folder, server)
        job.numbered(24)
        for _ in range(3):
            child_processes.run("run", job.path, "--quiet", "--limit", 8)
    return job.output


@pytest.mark.parametrize("point", COMPACT_POINTS)
def test_a_compaction_killed_at_a_chosen_point_changes_no_view(
    point: str, three_nights: Path, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    call, path, nth, do = COMPACT_POINTS[point]
    shutil.copytree(three_nights, tmp_path / "out")
    job = CountedJob(tmp_path, server)
    ids = job.numbered(24)
    rule = {"call": call, "path": path, "nth": nth, "do": do}
    killed = child_processes.run("compact", job.path, "--drop-superseded", output=job.output, rules=[rule])
    assert killed.wait() == -signal.SIGKILL, f"the point was not reached: {killed.err}"
    for again in (False, True):
        if again:
            assert child_processes.run("compact", job.path).wait() == 0
        found = job.sql("select id from results union all select id from failures")
        assert sorted(found) == sorted((id_,) for id_ in ids)
    assert child_processes.run("run", job.path, "--quiet").wait() == 1
    assert not server.asked
