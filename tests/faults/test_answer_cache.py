"""`[dedupe] cache`: jobs share the answers to equal questions; a cache is never trusted blindly, and never fatal."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.commands import ChildProcesses
from support.counted_job import CountedJob
from support.counting_server import CountingServer, Told, answer_to

from pipeline.errors import JobError
from pipeline.report.summary import lines

pytestmark = pytest.mark.usefixtures("event_loop_goes_on")

CACHE = "[dedupe]\ncache = '../caches/answers.cache'\n"
PRICE = '[models.m1]\nprice = { input = 1000, output = 2000, currency = "CNY" }\n'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting")
    with CountingServer() as server:
        yield server


def job_at(folder: Path, server: CountingServer, *topics: str, prompt: str = "Say {topic}", **more: Any) -> CountedJob:
    folder.mkdir(exist_ok=True)
    job = CountedJob(folder, server)
    job.write(prompt=prompt, **{"more": CACHE + PRICE, **more})
    job.rows({"id": f"{folder.name}{number}", "topic": topic} for number, topic in enumerate(topics))
    return job


def cache_of(tmp_path: Path) -> Path:
    return tmp_path / "caches" / "answers.cache"


def test_a_second_job_finds_what_a_first_one_bought(tmp_path: Path, server: CountingServer) -> None:
    first = job_at(tmp_path / "one", server, "cats", "dogs").job().run()
    assert (first.answered, first.shared, first.cached) == (2, 0, 0)
    assert cache_of(tmp_path).is_file()
    job = job_at(tmp_path / "two", server, "cats", "fish", "cats")
    summary = job.job().run()
    assert (summary.answered, summary.shared, summary.cached, len(server.asked)) == (1, 2, 2, 3)
    assert "1 answered, 2 shared (2 from the cache), 0 failed" in next(lines(summary))
    told = job.sql("select id, answer, shared_with, attempt_count, cost, extra from results order by id")
    assert [row[:5] for row in told] == [
        ("two0", "m1 says of Say cats", "cache:one0", 0, None),
        ("two1", "m1 says of Say fish", None, 1, 0.02),
        ("two2", "m1 says of Say cats", "cache:one0", 0, None),
    ]
    assert json.loads(told[0][5])["bought_in"] == str(tmp_path / "one" / "out")
    # What came from the cache is an answer like any other now.
    assert (job.job().run().skipped, len(server.asked)) == (3, 3)


def test_pictures_are_found_by_content(tmp_path: Path, server: CountingServer) -> None:
    for name, colour in (("one", "red"), ("two", "red"), ("three", "blue")):
        job = job_at(tmp_path / name, server, prompt="What is it?")
        Image.new("RGB", (32, 32), colour).save(job.folder / f"{name}.png")
        job.rows([{"id": name, "image": f"{name}.png"}])
        assert job.job().run().cached == (name == "two")


def test_an_address_is_never_looked_up(tmp_path: Path, server: CountingServer) -> None:
    for name in ("one", "two"):
        job = job_at(tmp_path / name, server, prompt="What is it?")
        job.rows([{"id": name, "image": "http://127.0.0.1/latest.jpg"}])
        assert (job.job().run().answered, job.job().run().cached) == (1, 0)


def test_another_question_is_not_in_the_cache(tmp_path: Path, server: CountingServer) -> None:
    job_at(tmp_path / "one", server, "cats").job().run()
    assert job_at(tmp_path / "two", server, "cats", model="m2").job().run().cached == 0
    assert job_at(tmp_path / "three", server, "cats", prompt="Tell {topic}").job().run().cached == 0


def test_faults_are_not_cached(tmp_path: Path, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(400, code="invalid_request") if n == 1 else Told(finish="length")
    for name in ("one", "two", "three"):
        summary = job_at(tmp_path / name, server, "cats").job().run()
        assert (summary.failed, summary.cached) == (1, 0)


def test_a_plan_counts_what_the_cache_holds(tmp_path: Path, server: CountingServer) -> None:
    job = job_at(tmp_path / "one", server, "cats")
    assert job.job().plan().shared == 0
    assert not cache_of(tmp_path).exists()
    job.job().run()
    assert job_at(tmp_path / "two", server, "cats", "fish").job().plan().shared == 1


def test_two_runs_at_once_use_one_cache(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(seconds=0.002)
    topics = [f"topic {number}" for number in range(300)]
    jobs = [job_at(tmp_path / name, server, *topics) for name in ("one", "two", "three")]
    children = [child_processes.start("run", job.path, "--quiet") for job in jobs]
    for child in children:
        assert child.wait() == 0, child.err
        assert "cache cannot be used" not in child.err
    for job in jobs:
        answers = "select count(*) from results where answer = 'm1 says of Say ' || topic"
        assert job.sql(answers) == [(300,)]
    asked = len(server.asked)
    assert job_at(tmp_path / "four", server, *topics).job().run().cached == 300
    assert len(server.asked) == asked


def test_a_killed_run_leaves_a_cache_that_works(
    tmp_path: Path, child_processes: ChildProcesses, server: CountingServer
) -> None:
    server.script = lambda asked, n: Told(seconds=0.01)
    topics = [f"topic {number}" for number in range(2_000)]
    child = child_processes.start("run", job_at(tmp_path / "one", server, *topics).path, "--quiet")
    assert server.wait_asked(1_500, 60)
    child.kill()
    summary = job_at(tmp_path / "two", server, *topics).job().run()
    assert (summary.exit_code, summary.answered + summary.shared) == (0, 2_000)
    assert summary.cached > 0


def test_a_file_that_is_no_cache_is_left_alone(tmp_path: Path, server: CountingServer) -> None:
    (tmp_path / "caches").mkdir()
    with sqlite3.connect(cache_of(tmp_path)) as other:
        other.execute("create table mine (x)")
    for content in (cache_of(tmp_path).read_bytes(), b"not a database at all" * 100, b"short"):
        cache_of(tmp_path).write_bytes(content)
        summary = job_at(tmp_path / "one", server, f"cats {len(content)}").job().run()
        assert (summary.exit_code, summary.answered) == (0, 1)
        assert "note: the cache cannot be used" in "\n".join(lines(summary))
        assert cache_of(tmp_path).read_bytes() == content


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path, server: CountingServer) -> None:
    (tmp_path / "caches").write_text("a file where the folder should be")
    summary = job_at(tmp_path / "one", server, "cats").job().run()
    assert (summary.exit_code, summary.answered) == (0, 1)
    assert any("the cache cannot be used" in line for line in lines(summary))


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_cache_gives_no_wrong_answer(tmp_path: Path, server: CountingServer, seed: int) -> None:
    luck = random.Random(seed)
    topics = [f"topic {number}" for number in range(200)]
    job_at(tmp_path / "one", server, *topics).job().run()
    content = bytearray(cache_of(tmp_path).read_bytes())
    for _ in range(luck.choice((1, 5, 200))):
        content[luck.randrange(100 if seed % 3 == 0 else 4096, len(content))] ^= luck.randrange(1, 256)
    if seed % 4 == 3:
        del content[luck.randrange(len(content)) :]
    cache_of(tmp_path).write_bytes(content)
    job = job_at(tmp_path / "two", server, *topics)
    summary = job.job().run()
    assert (summary.exit_code, summary.answered + summary.shared) == (0, 200), summary.message
    told = job.sql("select topic, answer from results")
    assert told
    assert all(answer == answer_to("m1", f"Say {topic}") for topic, answer in told)


def test_a_cache_without_sharing_is_refused(tmp_path: Path, server: CountingServer) -> None:
    job = job_at(tmp_path / "one", server, "cats", more=CACHE + "equal = false\n")
    with pytest.raises(JobError, match=r"dedupe\.cache: "):
        job.job().run()
