"""Several nights and several jobs together: the guard of kept answers, outputs joined, columns that change type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from support.counted_job import CountedJob
from support.counting_server import PLAIN, Asked, CountingServer, Told

from pipeline.errors import JobError


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CountingServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting")
    with CountingServer() as server:
        yield server


def rejecting(*prompts: str) -> Callable[[Asked, int], Told]:
    return lambda asked, n: Told(400, code="x") if asked.prompt in prompts else PLAIN


def test_answers_that_were_kept_are_not_bought_again_by_the_next_plain_run(
    tmp_path: Path, server: CountingServer
) -> None:
    job = CountedJob(tmp_path, server)
    job.numbered(4)
    assert job.job().run().exit_code == 0
    job.write(model="m2")
    with pytest.raises(JobError, match=r'4 answered rows of 4 .* provider.model was "m1", is "m2"'):
        job.job().run()
    assert job.job().run(changed="keep").answered == 0
    for model in ("m2", "m3"):
        job.write(model=model)
        with pytest.raises(JobError, match="Decide with --changed redo"):
            job.job().run()
    assert len(server.asked) == 4
    job.write(model="m1")
    assert job.job().run().skipped == 4
    job.write(model="m2")
    assert job.job().run(changed="redo").answered == 4
    assert job.job().run().skipped == 4


def test_keeping_answers_keeps_no_row_from_being_sent_that_only_ever_failed(
    tmp_path: Path, server: CountingServer
) -> None:
    server.script = rejecting("Say [r3] topic 3")
    job = CountedJob(tmp_path, server)
    job.numbered(4)
    assert job.job().run().exit_code == 1
    job.rows({"id": f"r{number}", "topic": f"topic {number}" if number < 3 else "mended"} for number in range(4))
    job.write(model="m2")
    kept = job.job().run(changed="keep")
    assert (kept.exit_code, kept.answered, kept.skipped) == (0, 1, 3)
    assert job.sql("select id, model from results order by id") == [
        ("r0", "m1"),
        ("r1", "m1"),
        ("r2", "m1"),
        ("r3", "m2"),
    ]


def test_a_reprocess_does_not_answer_for_rows_that_it_did_not_send(tmp_path: Path, server: CountingServer) -> None:
    server.script = rejecting("Say [r3] topic 3")
    job = CountedJob(tmp_path, server)
    job.numbered(4)
    job.job().run()
    (job.output / "runs" / "summary.json").unlink()  # as if the run had been killed before its end
    server.script = lambda asked, n: PLAIN
    job.write(model="m2")
    assert job.job().reprocess("true").answered == 1
    with pytest.raises(JobError, match="3 answered rows of 4"):
        job.job().run()


def test_a_row_that_asks_again_what_it_once_asked_shows_that_answer_and_is_not_paid_again(
    tmp_path: Path, server: CountingServer
) -> None:
    job = CountedJob(tmp_path, server)
    for night, (topic, sent) in enumerate((("cats", 1), ("dogs", 1), ("cats", 0), ("dogs", 0))):
        job.rows([{"id": "a", "topic": topic}])
        assert job.job().run().sent == sent, night
        assert job.sql("select answer, stale from results") == [(f"m1 says of Say [a] {topic}", False)], night


def test_a_reprocess_pays_for_no_row_that_was_set_back_to_what_it_was_answered(
    tmp_path: Path, server: CountingServer
) -> None:
    server.script = rejecting("Say [a] dogs", "Say [b] dogs")
    job = CountedJob(tmp_path, server)
    for topic in ("cats", "dogs"):
        job.rows([{"id": "a", "topic": topic}, {"id": "b", "topic": topic}])
        job.job().run()
    server.script = lambda asked, n: PLAIN
    job.rows([{"id": "a", "topic": "cats"}, {"id": "b", "topic": "dogs"}])
    assert job.job().reprocess_groups("true") == {("rejected", "x"): 1}
    assert job.job().reprocess("true").sent == 1
    assert [asked.prompt for asked in server.asked].count("Say [a] cats") == 1
    assert job.job().run().sent == 0
    assert job.sql("select id, answer, stale from results order by id") == [
        ("a", "m1 says of Say [a] cats", False),
        ("b", "m1 says of Say [b] dogs", False),
    ]
    assert job.sql("select count(*) from failures") == [(0,)]


def test_two_jobs_over_the_same_rows_are_joined_in_one_query_through_their_catalogs(
    tmp_path: Path, server: CountingServer
) -> None:
    jobs = []
    for name, prompt in (("short", "Briefly [{id}] {topic}"), ("long", "At length [{id}] {topic}")):
        (tmp_path / name).mkdir()
        job = CountedJob(tmp_path / name, server)
        job.write(prompt=prompt)
        job.numbered(5)
        assert job.job().run().exit_code == 0
        jobs.append(job)
    with duckdb.connect() as both:
        for job in jobs:
            both.execute(f"attach ':memory:' as {job.folder.name}; use {job.folder.name}")
            both.execute((job.output / "catalog.sql").read_text())
        both.execute("use memory")
        joined = both.sql(
            "select id, s.answer, l.answer from short.results as s join long.results as l using (id) order by id"
        ).fetchall()
    assert joined == [
        (f"r{n}", f"m1 says of Briefly [r{n}] topic {n}", f"m1 says of At length [r{n}] topic {n}") for n in range(5)
    ]


COLUMNS = [1, 2.5, True, None, {"a": [1]}, 2**70]


def test_a_column_that_is_of_another_type_each_night_still_reads(tmp_path: Path, server: CountingServer) -> None:
    server.script = lambda asked, n: Told(400, code="x") if asked.id.startswith("bad") else PLAIN
    job = CountedJob(tmp_path, server)
    rows = []
    for night, value in enumerate(COLUMNS):
        rows += [{"id": f"{kind}{night}", "topic": "t", "c": value, f"only{night}": night} for kind in ("ok", "bad")]
        job.rows(rows)
        assert job.job().run().answered == 1
        for view, kind in (("results", "ok"), ("failures", "bad")):
            found = job.sql(f"select id, c, only{night} from {view} order by seq")
            assert [row[0] for row in found] == [f"{kind}{number}" for number in range(night + 1)]
            assert found[-1][2] == night
    texts = ["1", "2.5", "true", None, '{"a":[1]}', str(2**70)]
    for again in range(2):
        assert [row[0] for row in job.sql("select c from results order by seq")] == texts, again
        with duckdb.connect() as plain:
            plain.execute((job.output / "catalog.sql").read_text())
            assert plain.sql("select count(*), count(c) from results").fetchall() == [(6, 5)]
        job.job().compact()
