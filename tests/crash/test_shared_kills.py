"""kill -9 while rows share answers: each row has the whole answer or is still to come; no answer is bought again."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from support.commands import ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import Asked, CountingServer, Told, answer_to
from support.store_disk import rounds

CONCURRENCY = 8
QUESTIONS = 40
ROWS = 400


def topic(number: int) -> str:
    return f"topic {number * 7 % QUESTIONS}"


def shared_job(folder: Path, server: CountingServer, luck: random.Random) -> CountedJob:
    job = CountedJob(folder, server)
    job.write(prompt="Say {topic}")
    job.rows({"id": f"r{number}", "topic": topic(number)} for number in range(ROWS))

    def script(asked: Asked, n: int) -> Told:
        number = int(asked.prompt.rpartition(" ")[2])
        return Told(400 if number % 11 == 5 else 200, code="invalid_request", seconds=luck.uniform(0, 0.03))

    server.script = script
    return job


def check_kept(job: CountedJob) -> set[str]:
    """Every outcome on disk is whole and there once. Returns the questions that are answered."""
    ids = job.on_disk()
    assert len(ids) == len(set(ids))
    assert job.job().compact() is not None  # seals what the kill left in the journal
    for id_, answer, shared_with in job.sql("select id, answer, shared_with from results"):
        assert answer == answer_to("m1", f"Say {topic(int(id_[1:]))}")
        assert shared_with is None or topic(int(shared_with[1:])) == topic(int(id_[1:]))
    bought = "select count(*), count(distinct fingerprint) from versions where shared_with is null"
    assert [rows == questions for rows, questions in job.sql(bought)] == [True]
    return {f"Say {topic(int(id_[1:]))}" for (id_,) in job.sql("select id from results")}


def check_whole(job: CountedJob) -> None:
    failed = {number for number in range(ROWS) if int(topic(number).split()[1]) % 11 == 5}
    assert job.sql("select count(*), count(distinct id) from results") == [(ROWS - len(failed),) * 2]
    assert job.sql("select count(*), count(distinct id) from failures") == [(len(failed),) * 2]


def test_runs_killed_at_random_share_whole_answers(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    luck = random.Random(20261128)
    kills = 0
    for campaign in range(rounds(4)):
        (tmp_path / f"{campaign}").mkdir()
        server.forget()
        job = shared_job(tmp_path / f"{campaign}", server, luck)
        known: set[str] = set()
        for _ in range(4):
            before = len(server.asked)
            child = child_processes.start("run", job.path, "--quiet")
            child.ended(luck.uniform(0.15, 0.5))
            kills += child.kill() == -signal.SIGKILL
            server.wait_idle()
            asked = [one.prompt for one in server.asked[before:]]
            assert len(asked) == len(set(asked))
            assert not known & set(asked)
            known = check_kept(job)
            lost = {prompt for prompt in set(asked) - known if int(prompt.rpartition(" ")[2]) % 11 != 5}
            assert len(lost) <= CONCURRENCY
        assert child_processes.run("run", job.path, "--quiet").wait() == 1
        check_whole(job)
    assert kills


POINTS = {
    "half of the write of an answer and its sharers": ("write", "journal/*.journal", 20, "half"),
    "after the write of an answer and its sharers": ("write", "journal/*.journal", 20, "after"),
    "before the sharers' part gets its name": ("replace", "results/0*[1-9]*.parquet", 1, "before"),
    "before the journal is dropped": ("unlink", "journal/*.journal", 1, "before"),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_a_chosen_point_shares_whole_answers(
    point: str, tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    call, path, nth, do = POINTS[point]
    job = shared_job(tmp_path, server, random.Random(point))
    rule = {"call": call, "path": path, "nth": nth, "do": do}
    child = child_processes.run("run", job.path, "--quiet", output=job.output, rules=[rule])
    assert child.wait() == -signal.SIGKILL, f"the point was not reached: {child.err}"
    server.wait_idle()
    known = check_kept(job)
    before = len(server.asked)
    assert child_processes.run("run", job.path, "--quiet").wait() == 1
    assert not known & {one.prompt for one in server.asked[before:]}
    check_whole(job)
    check_kept(job)
