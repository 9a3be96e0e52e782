"""Failures end: `pipeline dismiss` closes them for good, and those of rows that left the manifest leave `failures`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.counted_job import CountedJob
from support.counting_server import PLAIN, CountingServer, Told

OPEN = "select id, fault from failures order by id"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting")
    with CountingServer() as server:
        yield server


@pytest.fixture
def job(tmp_path: Path, server: CountingServer) -> CountedJob:
    """Nightly: a good picture, one that can never be read, one that was deleted."""
    Image.new("RGB", (32, 32), "red").save(tmp_path / "good.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    job = CountedJob(tmp_path, server)
    job.write(prompt="What is it?")
    pictures(job, "good", "broken", "gone")
    return job


def pictures(job: CountedJob, *names: str) -> None:
    job.rows({"id": name, "image": f"{name}.png", "topic": "t"} for name in names)


def test_the_nightly_job_ends_well_once_its_failures_end(pipeline: Any, job: CountedJob) -> None:
    assert pipeline("run", job.path).code == 1
    assert job.sql(OPEN) == [("broken", "rejected"), ("gone", "rejected")]
    ran = pipeline("dismiss", job.path, "--where", "id = 'broken'", "--reason", "the camera was broken")
    assert (ran.code, ran.last) == (0, "1 failure dismissed"), ran.err
    pictures(job, "good", "broken")
    for _ in range(2):
        ran = pipeline("run", job.path)
        assert ran.code == 0, ran.err
        assert "1 done, 1 dismissed" in ran.err
        assert job.sql(OPEN) == []
        assert job.sql("select id, code, dismissed_reason from dismissed") == [
            ("broken", "Local.NotAPicture", "the camera was broken")
        ]
        ran = pipeline("status", job.path)
        assert "2 rows: 1 done, 0 left, 0 failed, 1 dismissed" in ran.out


def test_a_row_that_comes_back_brings_its_failure_back(pipeline: Any, job: CountedJob) -> None:
    pipeline("run", job.path)
    pictures(job, "good", "broken")
    assert pipeline("run", job.path).code == 1
    assert job.sql(OPEN) == [("broken", "rejected")]
    assert pipeline("reprocess", job.path, "--where", "true", "--dry-run").last == "1 rows would be sent; nothing was"
    pictures(job, "good", "broken", "gone")
    assert pipeline("run", job.path).code == 1
    assert job.sql(OPEN) == [("broken", "rejected"), ("gone", "rejected")]


def test_a_row_that_left_keeps_its_answer(pipeline: Any, job: CountedJob, server: CountingServer) -> None:
    pipeline("run", job.path)
    server.script = lambda asked, n: Told(400, code="invalid_request")
    job.rows([{"id": "good", "image": "good.png", "prompt": "And now?"}])
    assert pipeline("run", job.path, "--changed", "redo").code == 1
    assert job.sql("select id, stale from results") == [("good", True)]
    assert job.sql(OPEN) == [("good", "rejected")]
    job.rows([])
    assert pipeline("run", job.path).code == 0
    assert job.sql("select id, stale from results") == [("good", True)]
    assert job.sql(OPEN) == []


@pytest.mark.parametrize("changed", ["keep", "redo"])
def test_failures_of_rows_that_left_leave_with_kept_answers_too(pipeline: Any, job: CountedJob, changed: str) -> None:
    pipeline("run", job.path)
    job.write(prompt="Something else?")
    pictures(job, "good", "broken")
    assert pipeline("run", job.path, "--changed", changed).code == 1
    assert job.sql(OPEN) == [("broken", "rejected")]
    pictures(job, "good", "broken", "gone")
    assert pipeline("run", job.path, "--changed", changed).code == 1
    assert job.sql(OPEN) == [("broken", "rejected"), ("gone", "rejected")]
    assert job.sql("select id, stale from results") == [("good", False)]


def test_a_dismissed_row_is_not_sent_even_after_a_transient_fault(
    pipeline: Any, job: CountedJob, server: CountingServer
) -> None:
    job.write(prompt="What is it?", more="[retry]\nattempts = 1\n")
    server.script = lambda asked, n: Told(500)
    pictures(job, "good")
    assert pipeline("run", job.path).code == 1
    assert pipeline("dismiss", job.path, "--where", "fault = 'transient'", "--reason", "not worth it").code == 0
    server.script = lambda asked, n: PLAIN
    ran = pipeline("run", job.path)
    assert (ran.code, len(server.asked)) == (0, 1), ran.err
    assert json.loads(pipeline("plan", job.path, "--json").out)["dismissed"] == 1
    # A row that asks something else is new again.
    job.rows([{"id": "good", "image": "good.png", "prompt": "And now?"}])
    assert (pipeline("run", job.path).code, len(server.asked)) == (0, 2)


def test_a_dismissal_can_be_undone(pipeline: Any, job: CountedJob, server: CountingServer) -> None:
    pipeline("run", job.path)
    pipeline("dismiss", job.path, "--where", "true", "--reason", "all of them")
    assert pipeline("run", job.path).code == 0
    ran = pipeline("dismiss", job.path, "--undo", "--where", "dismissed_reason = 'all of them' and id = 'gone'")
    assert (ran.code, ran.last) == (0, "1 failure open again"), ran.err
    assert job.sql(OPEN) == [("gone", "rejected")]
    assert pipeline("run", job.path).code == 1
    Image.new("RGB", (32, 32), "blue").save(job.folder / "gone.png")
    ran = pipeline("run", job.path)  # the file is there: the row has changed
    assert ran.code == 0, ran.err
    assert job.sql("select id from results order by id") == [("gone",), ("good",)]


def test_a_dry_run_says_what_would_be_dismissed(pipeline: Any, job: CountedJob) -> None:
    pipeline("run", job.path)
    ran = pipeline("dismiss", job.path, "--where", "id = 'gone'", "--reason", "x", "--dry-run")
    assert ran.code == 0
    assert "1 × rejected Local.MissingFile" in ran.err
    assert ran.last == "1 failure would be dismissed; nothing was"
    assert len(job.sql(OPEN)) == 2


def test_a_dismissal_needs_a_reason_and_a_condition(pipeline: Any, job: CountedJob) -> None:
    pipeline("run", job.path)
    for options in (("--where", "true"), ("--where", "true", "--reason", "  "), ("--reason", "x")):
        ran = pipeline("dismiss", job.path, *options)
        assert ran.code == 2, ran.err
    assert "--reason" in pipeline("dismiss", job.path, "--where", "true").err
    ran = pipeline("dismiss", job.path, "--where", "no_such = 1", "--reason", "x")
    assert (ran.code, "no_such" in ran.err) == (2, True)
    assert len(job.sql(OPEN)) == 2


def test_dismissed_failures_outlive_compaction(pipeline: Any, job: CountedJob) -> None:
    pipeline("run", job.path)
    pipeline("dismiss", job.path, "--where", "true", "--reason", "x")
    for _ in range(2):
        assert pipeline("compact", job.path, "--drop-superseded").code == 0
        assert job.sql("select id from dismissed order by id") == [("broken",), ("gone",)]
    assert pipeline("run", job.path).code == 0
    pipeline("dismiss", job.path, "--undo", "--where", "true")
    assert len(job.sql(OPEN)) == 2


def test_each_sharer_is_dismissed_by_itself(pipeline: Any, job: CountedJob, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(400, code="invalid_request")
    job.rows({"id": id_, "prompt": "Why?"} for id_ in ("a", "b"))
    pipeline("run", job.path)
    pipeline("dismiss", job.path, "--where", "id = 'a'", "--reason", "x")
    assert job.sql(OPEN) == [("b", "rejected")]
    server.script = lambda asked, n: PLAIN
    assert pipeline("reprocess", job.path, "--where", "true").code == 0
    assert job.sql("select id from results") == [("b",)]
    assert job.sql("select id from dismissed") == [("a",)]


def test_columns_named_like_ours_do_not_hide_the_reason(pipeline: Any, job: CountedJob) -> None:
    job.rows([{"id": "gone", "image": "gone.png", "dismissed_reason": "mine", "reason": "mine", "undone": True}])
    pipeline("run", job.path)
    assert pipeline("dismiss", job.path, "--where", "reason = 'mine' and undone", "--reason", "ours").code == 0
    assert job.sql("select dismissed_reason, reason from dismissed") == [("ours", "mine")]


def test_the_same_from_python(job: CountedJob) -> None:
    job.job().run()
    assert job.job().dismiss("true", "no longer needed") == 2
    assert job.job().dismiss("id = 'gone'", undo=True) == 1
    assert job.sql(OPEN) == [("gone", "rejected")]
