"""`pipeline compare`: two jobs on the same rows, with as little bought as possible and nothing bought twice."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from support.counted_job import CountedJob
from support.counting_server import Asked, CountingServer, Told

from pipeline import Job
from pipeline.errors import JobError
from pipeline.report.compared import full_table, lines

WARM = {"prompt.text": "Warmly, say [{id}] {topic}"}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting")
    with CountingServer() as started:
        yield started


@pytest.fixture
def counted(tmp_path, server) -> CountedJob:
    job = CountedJob(tmp_path, server)
    job.numbered(20)
    return job


def quiet(job: Job, **settings: Any) -> Any:
    return job.run(progress=False, **settings)


def test_a_sample_of_new_rows_is_bought_once_for_each_side(counted, server):
    compared = counted.job().compare(overrides=WARM, sample=4)
    assert compared.table.column("id").to_pylist() == ["r0", "r10", "r15", "r5"]
    assert len(server.asked) == 8
    assert [side.sent for side in compared.sides] == [4, 4]
    again = counted.job().compare(overrides=WARM, sample=4)
    assert len(server.asked) == 8
    assert again.table.equals(compared.table)


def test_answered_rows_come_first_and_other_rows_fill_the_sample(counted, server):
    quiet(counted.job(), limit=3)
    compared = counted.job().compare(overrides=WARM, sample=5)
    found = compared.table.column("id").to_pylist()
    assert {"r0", "r1", "r2"} < set(found)
    assert len(found) == 5
    assert [side.sent for side in compared.sides] == [2, 5]


def test_the_answers_of_a_count_for_its_next_run_and_those_of_b_do_not(counted, server):
    counted.job().compare(overrides=WARM, sample=4)
    summary = quiet(counted.job())
    assert (summary.sent, summary.done) == (16, 4)
    assert len(server.asked) == 24
    assert all("Warmly" not in answer for (answer,) in counted.sql("select answer from results"))


def test_a_run_of_some_ids_sends_these_alone_and_counts_them(counted):
    summary = quiet(counted.job(), ids=frozenset({"r1", "r5", "gone"}))
    assert (summary.sent, summary.left, summary.remaining, summary.figures["total"]) == (2, 0, 18, 2)
    again = quiet(counted.job(), ids=frozenset({"r1", "r5"}))
    assert (again.sent, again.left, again.remaining) == (0, 0, 18)


def test_two_jobs_are_compared_in_their_own_outputs(counted, server, tmp_path):
    text = counted.path.read_text().replace("m1", "m2").replace(str(counted.output), str(tmp_path / "out2"))
    other = tmp_path / "other.toml"
    other.write_text(text)
    quiet(Job.load(other), limit=5)
    server.asked.clear()
    compared = counted.job().compare(other, sample=5)
    assert [side.model for side in compared.sides] == ["m1", "m2"]
    row = compared.table.to_pylist()[0]
    assert row["a_answer"] != row["b_answer"]
    assert (row["a_model"], row["b_model"]) == ("m1", "m2")
    assert quiet(Job.load(other)).sent == 20 - 5 - compared.sides[1].sent


def test_without_a_sample_nothing_is_sent(counted, server):
    quiet(counted.job())
    server.asked.clear()
    compared = counted.job().compare(overrides=WARM)
    assert (compared.table.num_rows, server.asked) == (0, [])


def test_asking_again_shows_what_drifted(counted, server):
    quiet(counted.job())
    server.script = lambda asked, number: Told(text="another snapshot" if "[r3]" in asked.prompt else None)
    compared = counted.job().compare(overrides={}, sample=20)
    assert compared.sides[0].sent == 0
    assert compared.sides[1].sent == 20
    different = [row["id"] for row in full_table(compared).to_pylist() if row["similarity"] < 1]
    assert different == ["r3"]
    told = list(lines(compared))
    assert "20 rows have both answers, 19 of them the same answer twice" in told
    assert "  B another snapshot" in told


def test_versions_of_one_output_stand_before_and_now(counted, server):
    quiet(counted.job())
    with pytest.raises(JobError, match=r"no row of .* was answered twice"):
        counted.job().compare(versions=True)
    quiet(Job.load(counted.path, {"provider.model": "m2"}), changed="redo", limit=2)
    compared = counted.job().compare(versions=True)
    assert [(row["id"], row["a_model"], row["b_model"]) for row in compared.table.to_pylist()] == [
        ("r0", "m1", "m2"),
        ("r1", "m1", "m2"),
    ]


def test_failures_are_told_by_code(counted, server):
    def script(asked: Asked, number: int) -> Told:
        return Told(status=400, code="no") if "Warmly" in asked.prompt else Told()

    server.script = script
    compared = counted.job().compare(overrides=WARM | {"circuit.refusals": 0}, sample=3)
    assert compared.table.num_rows == 0
    assert sum(compared.sides[1].failed.values()) == 3


def test_a_side_that_stops_is_told_and_gives_the_exit_code(counted, server):
    server.script = lambda asked, number: (
        Told(status=401, code="invalid_api_key") if "Warmly" in asked.prompt else Told()
    )
    compared = counted.job().compare(overrides=WARM, sample=3)
    assert compared.exit_code == 4
    assert any(line.startswith("B stopped: ") for line in lines(compared))


@pytest.mark.parametrize("picked", ["id,pick\nr0,a\nr5,equal\nr99,b\nr10,\n"])
def test_picks_become_a_column(counted, tmp_path, picked):
    (tmp_path / "picks.csv").write_text(picked)
    compared = counted.job().compare(overrides=WARM, sample=4, picks=tmp_path / "picks.csv")
    assert {row["id"]: row["pick"] for row in full_table(compared).to_pylist()} == {
        "r0": "a", "r5": "equal", "r10": None, "r15": None,
    }  # fmt: skip
    assert "picks: a 1, b 0, equal 1, neither 0" in list(lines(compared))


@pytest.mark.parametrize("text", ["id,pick\nr0,best\n", "name,pick\nr0,a\n", ""])
def test_wrong_picks_are_refused(counted, tmp_path, text):
    (tmp_path / "picks.csv").write_text(text)
    with pytest.raises(JobError, match="--picks"):
        counted.job().compare(overrides=WARM, sample=1, picks=tmp_path / "picks.csv")


def test_one_b_is_needed(counted):
    for wrong in ({}, {"overrides": WARM, "versions": True}):
        with pytest.raises(JobError, match="compare needs one of"):
            counted.job().compare(**wrong)


def test_tasks_with_other_columns_are_not_compared(counted, tmp_path):
    other = Job(task="caption", manifest=[{"image": "x.jpg"}], output=tmp_path / "c", model="m", provider="openai")
    with pytest.raises(JobError, match="different columns"):
        counted.job().compare(other)


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet", "arrow"])
def test_the_rows_are_written_by_the_ending(counted, tmp_path, ending, capfd):
    from pipeline.cli.main import main

    file = tmp_path / f"found.{ending}"
    with pytest.raises(SystemExit) as stop:
        main(["compare", str(counted.path), "--set-b", "provider.model=m2", "--sample", "3", "-o", str(file)])
    assert stop.value.code == 0
    readers: dict[str, Any] = {
        "csv": pl.read_csv, "json": pl.read_json, "jsonl": pl.read_ndjson, "arrow": pl.read_ipc,
        "parquet": lambda path: pl.from_arrow(pq.read_table(path)),
    }  # fmt: skip
    table = readers[ending](file)
    assert table.height == 3
    assert {"id", "a_answer", "b_answer", "a_input_tokens", "b_cost", "similarity", "pick"} <= {*table.columns}


def test_vectors_are_compared_by_their_angle(tmp_path):
    rows = [{"id": "a", "text": "a cat"}, {"id": "b", "text": "total 12.30"}]
    job = Job(task="embed", manifest=rows, output=tmp_path / "out", offline=True)
    quiet(job)
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row | {"text": "a cat"}) + "\n" for row in rows))
    other = Job(task="embed", manifest=str(tmp_path / "m.jsonl"), output=tmp_path / "other", offline=True)
    quiet(other)
    found = {row["id"]: row["similarity"] for row in full_table(job.compare(other)).to_pylist()}
    assert found["a"] == pytest.approx(1.0, abs=1e-5)
    assert found["b"] < 0.9
