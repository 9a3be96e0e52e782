"""`run.changed` in the job decides beforehand what becomes of answered rows when the job is edited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.counted_job import CountedJob
from support.counting_server import CountingServer

from pipeline.errors import JobError


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedJob]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting")
    with CountingServer() as server:
        job = CountedJob(tmp_path, server)
        job.numbered(4)
        assert job.job().run().answered == 4
        yield job


def run_section(decision: str) -> str:
    return f"[run]\nchanged = '{decision}'\n"


def test_keep_in_the_job_keeps_answers_night_after_night(job):
    for model in ("m2", "m3"):
        job.write(model=model, more=run_section("keep"))
        for _ in range(2):
            summary = job.job().run()
            assert (summary.exit_code, summary.sent, summary.skipped) == (0, 0, 4)
    job.numbered(5)
    assert job.job().run().answered == 1
    assert job.sql("select model, count(*) from results group by all order by 1") == [("m1", 4), ("m3", 1)]


def test_keep_in_the_job_sends_a_row_that_changed_itself(job):
    job.write(more=run_section("keep"))
    job.rows({"id": f"r{number}", "topic": "mended" if number == 0 else f"topic {number}"} for number in range(4))
    assert job.job().run().answered == 1


def test_redo_in_the_job_sends_them_again(job):
    job.write(model="m2", more=run_section("redo"))
    assert job.job().run().answered == 4


def test_the_option_goes_before_the_job(job):
    job.write(model="m2", more=run_section("redo"))
    assert job.job().run(changed="keep").sent == 0
    job.write(model="m2", more=run_section("keep"))
    with pytest.raises(JobError, match="the job has changed"):
        job.job().run(changed="ask")
    assert job.job().run(changed="redo").answered == 4


def test_the_guard_names_both_ways_to_decide(job):
    for more in ("", run_section("ask")):
        job.write(model="m2", more=more)
        with pytest.raises(JobError, match=r"Decide with --changed redo .* or set run.changed in the job"):
            job.job().run()


def test_plan_foretells_what_the_decision_in_the_job_sends(job):
    for decision, sent in (("keep", 0), ("redo", 4), ("ask", 4)):
        job.write(model="m2", more=run_section(decision))
        assert job.job().plan().send == sent, decision


def test_another_decision_is_refused_and_sends_nothing(job):
    job.write(model="m2")
    with pytest.raises(JobError, match=r'changed: found "kep", expected one of ask, keep, redo; did you mean "keep"'):
        job.job().run(changed="kep")
    with pytest.raises(JobError, match=r'run.changed: found "kep", expected one of ask, keep, redo'):
        job.job(**{"run.changed": "kep"})
    assert job.sql("select count(*) from attempts") == [(4,)]
