"""Conversations under kill -9: no question is bought twice but what was in flight, every answer is in its place."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

from support.commands import ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import Asked, CountingServer, Told, answer_to
from support.store_disk import rounds

CONCURRENCY = 8
QUESTIONS = 5


def question(row: int, turn: int) -> str:
    return f"[r{row}-{turn}] what about {turn}?"


def conversations(job: CountedJob, rows: int) -> None:
    job.rows({"id": f"r{row}", "prompts": [question(row, turn) for turn in range(QUESTIONS)]} for row in range(rows))


def answers_of(row: int) -> list[str]:
    return [answer_to("m1", question(row, turn)) for turn in range(QUESTIONS)]


def check_history(server: CountingServer) -> None:
    """Each question came with the questions and answers before it, in order."""
    for asked in server.asked:
        row, turn = (int(part) for part in asked.id[1:].split("-"))
        expected: list[tuple[str, str]] = []
        for before in range(turn):
            text = question(row, before)
            expected += [("user", text), ("assistant", answer_to("m1", text))]
        assert asked.history == tuple(expected)


def results(job: CountedJob) -> dict[str, dict[str, Any]]:
    rows = job.sql("select id, answer, extra, attempt_count, input_tokens, output_tokens from results")
    names = ("answer", "extra", "attempt_count", "input_tokens", "output_tokens")
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


def test_killed_conversations_buy_nothing_twice(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    kills, rows = rounds(4), 200
    luck = random.Random(20261127)
    server.script = lambda asked, n: Told(seconds=luck.uniform(0, 0.01))
    job = CountedJob(tmp_path, server)
    conversations(job, rows)
    for _ in range(kills):
        child = child_processes.start("run", job.path, "--quiet")
        server.wait_asked(len(server.asked) + luck.randrange(20, rows * QUESTIONS // (kills + 1) + 40), 10.0)
        child.kill()
        server.wait_idle()
    assert child_processes.run("run", job.path, "--quiet").wait() == 0
    twice = len(server.asked) - len(server.times_asked())
    print(f"{kills} kills, {len(server.asked)} questions asked for {rows * QUESTIONS}, {twice} of them again")
    assert len(server.times_asked()) == rows * QUESTIONS
    assert twice <= kills * CONCURRENCY
    check_history(server)
    found = results(job)
    assert len(found) == rows
    for row in range(rows):
        one = found[f"r{row}"]
        assert json.loads(one["extra"])["answers"] == answers_of(row)
        assert one["answer"] == answers_of(row)[-1]
        assert (one["input_tokens"], one["output_tokens"]) == (10 * QUESTIONS, 5 * QUESTIONS)


def test_a_conversation_goes_on_where_it_failed(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    """The third question is refused once: the failure keeps two answers, and a reprocess asks the third one."""

    def script(asked: Asked, n: int) -> Told:
        return Told(400, code="invalid_request") if asked.id == "r1-2" and n == 1 else Told()

    server.script = script
    job = CountedJob(tmp_path, server)
    conversations(job, 3)
    assert child_processes.run("run", job.path, "--quiet").wait() == 1
    assert job.sql("select id, fault from failures") == [("r1", "rejected")]
    assert job.sql("select turn, answer from turns where id = 'r1' order by turn") == [
        (turn + 1, answers_of(1)[turn]) for turn in range(2)
    ]
    assert child_processes.run("reprocess", job.path, "--where", "true", "--quiet").wait() == 0
    assert server.times_asked()["r1-2"] == 2
    assert sum(server.times_asked().values()) == 3 * QUESTIONS + 1
    check_history(server)
    assert json.loads(results(job)["r1"]["extra"])["answers"] == answers_of(1)


def test_passing_faults_retry_the_question_alone(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(500) if n == 1 and asked.id.endswith(("-0", "-3")) else Told()
    job = CountedJob(tmp_path, server)
    conversations(job, 2)
    assert child_processes.run("run", job.path, "--quiet").wait() == 0
    assert {id_: times for id_, times in server.times_asked().items() if times > 1} == {
        "r0-0": 2, "r0-3": 2, "r1-0": 2, "r1-3": 2,
    }  # fmt: skip
    assert [one["attempt_count"] for one in results(job).values()] == [QUESTIONS + 2] * 2
    assert job.sql("select count(*), count(distinct attempt) from attempts where id = 'r0'") == [(7, 7)]
    check_history(server)


def test_a_stopped_conversation_is_left_and_goes_on(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    """SIGTERM in the middle: the answer in flight is kept, the next run asks only what is left."""
    server.script = lambda asked, n: Told(seconds=0.05)
    job = CountedJob(tmp_path, server)
    conversations(job, 4)
    child = child_processes.start("run", job.path, "--quiet")
    assert server.wait_asked(10, 10.0)
    child.signal(signal.SIGTERM)
    assert child.wait() == 143, child.err
    assert child_processes.run("run", job.path, "--quiet").wait() == 0
    assert all(times == 1 for times in server.times_asked().values())
    assert len(results(job)) == 4


def test_a_budget_holds_for_each_question(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    """A conversation that the budget cuts is left, with the answers that were paid."""
    job = CountedJob(tmp_path, server)
    more = "[models.m1]\nmax_output_tokens = 5\nprice = { input = 1.0, output = 1.0, per = 1 }\n"
    job.write(more=f"{more}[budget]\nmax_cost = 200\n")
    conversations(job, 1)
    assert child_processes.run("run", job.path, "--quiet").wait() == 3
    kept = job.sql("select count(*), sum(cost) from turns")[0]
    assert 0 < kept[0] < QUESTIONS
    assert job.sql("select cost from spend")[0][0] == kept[1] <= 200
    job.write(more=more)
    assert child_processes.run("run", job.path, "--quiet").wait() == 0
    assert all(times == 1 for times in server.times_asked().values())


def test_an_equal_conversation_goes_on_with_the_answers(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    """Two rows ask the same five questions. The row that was asked leaves the manifest: the other one goes on."""

    def script(asked: Asked, n: int) -> Told:
        return Told(500) if asked.id == "r0-3" and not healed else Told()

    healed = False
    server.script = script
    job = CountedJob(tmp_path, server)
    job.write(more="[retry]\nattempts = 1\n")
    prompts = [question(0, turn) for turn in range(QUESTIONS)]
    job.rows([{"id": "first", "prompts": prompts}, {"id": "second", "prompts": prompts}])
    assert child_processes.run("run", job.path, "--quiet").wait() == 1
    healed = True
    job.rows([{"id": "second", "prompts": prompts}])
    assert child_processes.run("run", job.path, "--quiet").wait() == 0
    assert server.times_asked() == {**{f"r0-{turn}": 1 for turn in range(QUESTIONS)}, "r0-3": 2}
    assert json.loads(results(job)["second"]["extra"])["answers"] == answers_of(0)
