"""`pipeline search`: a query is embedded once and apart from the results, and only comparable rows are found."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.vector_server import VectorServer

from pipeline import Job
from pipeline.errors import JobError, QueryError
from pipeline.run.query_vectors import NotEmbedded

TEXTS = ["red", "green", "blue", "red", "grey"]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-vectors")
    with VectorServer(64) as started:
        yield started


@pytest.fixture
def path(tmp_path: Path, server: VectorServer) -> Path:
    rows = [{"id": f"r{n}", "text": text, "shelf": n, "note": None} for n, text in enumerate(TEXTS)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "job.toml").write_text(
        "task = 'embed'\nmanifest = 'rows.jsonl'\noutput = 'out'\n"
        f"[provider]\nname = 'openai'\nmodel = 'vectors'\nbase_url = '{server.base_url}'\n"
        "[models.vectors]\nprice = { input = 2.0, currency = 'CNY', per = 1_000 }\n"
    )
    assert Job.load(tmp_path / "job.toml").run().exit_code == 0
    server.asked.clear()
    return tmp_path / "job.toml"


def ids(found: Any) -> list[str]:
    return [hit.id for hit in found.hits]


def test_the_nearest_rows_come_first_with_their_own_columns(path):
    found = Job.load(path).search("red", k=3)
    assert {*ids(found)[:2]} == {"r0", "r3"}
    assert [hit.score for hit in found.hits][:2] == pytest.approx([1.0, 1.0], abs=1e-5)
    assert found.hits[0].row["shelf"] in (0, 3)
    assert found.rows == 5


def test_a_query_is_bought_once_and_its_cost_is_told(path, server):
    first = Job.load(path).search(["red", "teal"])
    again = Job.load(path).search(["teal", "red"])
    assert sorted(server.asked) == ["red", "teal"]
    assert first.cost == pytest.approx(2 * 3 * 2 / 1_000)
    assert (first.sent, first.currency) == (2, "CNY")
    assert (again.sent, again.cost) == (0, None)
    assert ids(again) == ids(first)


def test_the_results_and_the_spending_of_the_job_do_not_change(path):
    job = Job.load(path)
    tables = ("results", "failures", "attempts", "runs", "spend")
    before = [job.connect().sql(f"select * from {name} order by all").fetchall() for name in tables]
    job.search("teal")
    job.search(id="r1")
    assert [job.connect().sql(f"select * from {name} order by all").fetchall() for name in tables] == before
    assert Job.load(path).run().sent == 0


def test_rows_like_a_row_leave_the_row_itself_out_and_send_nothing(path, server):
    found = Job.load(path).search(id="r0", k=2)
    assert ids(found)[0] == "r3"
    assert "r0" not in ids(found)
    assert server.asked == []


def test_a_condition_picks_the_rows_that_are_searched(path):
    found = Job.load(path).search("red", where="shelf between 1 and 2 -- a comment")
    assert sorted(ids(found)) == ["r1", "r2"]
    assert found.rows == 2


@pytest.mark.parametrize("where", ["nonsense", "true); drop view results; select (1"])
def test_a_wrong_condition_is_refused(path, where):
    job = Job.load(path)
    with pytest.raises(QueryError):
        job.search("red", where=where)
    assert len(job.search("red").hits) == 5


def test_weights_decide_between_the_kinds_of_inputs(path):
    job = Job.load(path)
    assert job.search("blue", id="r1", k=1, weights={"text": 100}).hits[0].id == "r2"
    with pytest.raises(JobError, match="weight"):
        job.search("blue", weights={"text": 0})
    with pytest.raises(JobError, match="weight"):
        job.search("blue", weights={"picture": 1})


def test_the_same_job_finds_the_rows_of_a_later_run(path):
    job = Job.load(path)
    assert len(job.search("red").hits) == 5
    with (path.parent / "rows.jsonl").open("a") as file:
        file.write('{"id": "new", "text": "scarlet"}\n')
    job.run()
    assert job.search("scarlet", k=1).hits[0].id == "new"


def test_rows_of_another_model_are_left_out_and_counted(path, server):
    Job.load(path, {"provider.model": "newer", "models.newer.tasks": ["embed"]}).run(limit=2, changed="redo")
    found = Job.load(path).search("red")
    assert found.rows == 3
    assert "2 rows left out" in found.notes[0]
    newer = Job.load(path, {"provider.model": "newer"}).search("red")
    assert (newer.rows, len(newer.hits)) == (2, 2)


def test_a_query_of_another_length_is_refused(path, server):
    server.length = 32
    with pytest.raises(JobError, match="32 numbers, the rows have 64"):
        Job.load(path).search("black")


def test_a_changed_file_is_embedded_again(tmp_path):
    pytest.importorskip("rapidocr")
    from PIL import Image

    job = Job(task="embed", manifest=[{"id": "a", "text": "a cat"}], output=tmp_path / "out", offline=True)
    job.run(progress=False)
    picture = tmp_path / "p.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    assert job.search(image=str(picture)).sent == 1
    assert job.search(image=str(picture)).sent == 0
    Image.new("RGB", (80, 64), "green").save(picture)
    assert job.search(image=str(picture)).sent == 1


def test_an_input_that_cannot_be_embedded_says_why(path, tmp_path):
    with pytest.raises(NotEmbedded, match=r"the image of the query \(gone.jpg\) got no vector.*"):
        Job.load(path).search(image=str(tmp_path / "gone.jpg"))
    with pytest.raises(JobError, match="needs a text"):
        Job.load(path).search()
    with pytest.raises(JobError, match="expected text, image, audio or id"):
        Job.load(path).search(picture="x.jpg")
    with pytest.raises(JobError, match="no vector under this id"):
        Job.load(path).search(id="r99")


def test_a_job_without_vectors_says_what_to_do(path, tmp_path):
    job = Job.load(path, output=tmp_path / "new")
    with pytest.raises(JobError, match="run the job first"):
        job.search("red")
    asks = Job(task="ask", manifest=[{"prompt": "x"}], output=tmp_path / "asks", model="m", provider="openai")
    with pytest.raises(JobError, match="search is for jobs with task embed"):
        asks.search("red")


def test_a_wrong_key_ends_with_the_exit_code_of_a_run(monkeypatch, path):
    monkeypatch.delenv("OPENAI_API_KEY")
    job = Job.load(path)
    assert job.search(id="r0").hits
    with pytest.raises(JobError, match="OPENAI_API_KEY"):
        job.search("red")


def test_search_works_in_a_running_loop_and_beside_another_search(path, server):
    async def notebook() -> list[list[str]]:
        jobs = [Job.load(path) for _ in range(3)]
        inside = jobs[0].search("red", k=2)
        both = [asyncio.to_thread(job.search, f"text {number}", k=2) for number, job in enumerate(jobs)]
        return [ids(inside), *map(ids, await asyncio.gather(*both))]

    assert [len(found) for found in asyncio.run(notebook())] == [2, 2, 2, 2]
    assert sorted(server.asked) == ["red", "text 0", "text 1", "text 2"]


def test_an_output_that_cannot_be_written_is_still_searched_by_id(path):
    folder = path.parent / "out"
    folder.chmod(0o555)
    try:
        found = Job.load(path).search(id="r0", k=1)
    finally:
        folder.chmod(0o755)
    assert ids(found) == ["r3"]
    assert os.geteuid() == 0 or "cannot be kept" in found.notes[0]
