"""`query` writes nothing unless it is told to, `--where` reads no file, and CSV can be made safe for spreadsheets."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from support.store_records import answer, attempt, failure, keep

JOB = "task = 'caption'\nmanifest = 'rows.jsonl'\noutput = '{output}'\n[provider]\nname = 'openai'\nmodel = 'm'\n"
WRITING = [
    "copy (select 1) to '{place}'",
    "copy results to '{place}'",
    "with x as (copy (select 1) to '{place}') select 1",
    "from json_execute_serialized_sql(json_serialize_sql('with x as (copy (select 1) to ''{place}'') select 1'))",
    "explain analyze copy (select 1) to '{place}'",
    "copy (pivot (select 1 a) on a using count(*)) to '{place}'",
    "attach '{place}' as other",
    "export database '{place}'",
    "select 1; copy (select 1) to '{place}'",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "pragma enable_profiling",
    "from enable_logging(storage := 'file', storage_path := '{place}')",
    "create persistent secret s (type s3)",
]
READING = [
    "select count(*) as n from results",
    "from results select id order by id",
    "with a as (select 1 as n) from a",
    "describe results",
    "summarize results",
    "show tables",
    "explain select * from results",
    "pivot results on provider using count(*) group by model",
    "select * from read_text('{other}')",
    "select 1 as copy -- insert nothing",
    "values (1)",
]


@pytest.fixture(params=["out", "o [1]* 'x'?"])
def job(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    output = tmp_path / request.param
    columns = {"=cmd": "=1+1", "n": -5, "note": "-2 degrees", "plain": "a cat"}
    held = failure("c", fault="suspect", answer={"caption": "held"})
    keep(output, answer("a", columns=columns), attempt("b"), failure("b"), held)
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "other.txt").write_text("other")
    path = tmp_path / "job.toml"
    path.write_text(JOB.format(output=str(output).replace("'", "\\'")) if "'" not in str(output) else
                    JOB.replace("'{output}'", f'"{output}"'))  # fmt: skip
    return path


def written(job: Path) -> set[Path]:
    return {path for path in job.parent.rglob("*") if path.name != "lock"}


@pytest.mark.parametrize("sql", WRITING)
def test_a_query_writes_no_file_and_installs_nothing(job: Path, pipeline, sql: str) -> None:
    place = job.parent / "written"
    before = written(job)
    ran = pipeline("query", job, sql.format(place=place))
    assert ran.code == 2, ran.out
    assert "Traceback" not in ran.err
    assert written(job) == before


@pytest.mark.parametrize("sql", READING)
def test_a_query_that_reads_runs(job: Path, pipeline, sql: str) -> None:
    ran = pipeline("query", job, sql.format(other=job.parent / "other.txt"))
    assert ran.code == 0, ran.err


def test_a_query_with_write_writes(job: Path, pipeline) -> None:
    place = job.parent / "written.csv"
    assert pipeline("query", job, f"copy (select 7 as n) to '{place}'", "--write").code == 0
    assert place.read_text() == "n\n7\n"


@pytest.mark.parametrize(
    "where",
    [
        "exists (from read_text('{other}'))",
        "id in (select content from read_text('{other}'))",
        "id in (from glob('{folder}/*'))",
        "exists (from 'https://127.0.0.1:9/x.parquet')",
        "true)) ; copy (select 1) to '{inside}' ; select ((1",
        "exists(from json_execute_serialized_sql(json_serialize_sql("
        "'with x as (copy (select 1) to ''{inside}'') select 1')))",
        "exists (from query('copy (select 1) to ''{inside}'''))",
    ],
)
@pytest.mark.parametrize("command", ["reprocess", "accept", "dismiss"])
def test_a_condition_reads_and_writes_no_file(job: Path, pipeline, command: str, where: str) -> None:
    output = next(path for path in job.parent.iterdir() if path.is_dir())
    place = str(output / "results" / "evil.parquet").replace("'", "''")
    text = where.format(other=job.parent / "other.txt", folder=job.parent, inside=place)
    options = {"reprocess": ["--dry-run"], "accept": [], "dismiss": ["--dry-run", "--reason", "x"]}[command]
    ran = pipeline(command, job, "--where", text, *options)
    assert ran.code == 2, ran.err
    assert "Traceback" not in ran.err
    assert not (output / "results" / "evil.parquet").exists()


def test_a_condition_over_the_views_still_works(job: Path, pipeline) -> None:
    assert pipeline("reprocess", job, "--where", "code = 'Local.Test' -- all", "--dry-run").code == 0
    assert "1 answers accepted" in pipeline("accept", job, "--where", "fault = 'suspect'").err
    assert "1 failure dismissed" in pipeline("dismiss", job, "--where", "id = 'b'", "--reason", "x").err
    undone = pipeline("dismiss", job, "--where", "id in (select id from attempts)", "--undo")
    assert "1 failure open again" in undone.err


@pytest.mark.parametrize("way", ["query", "export"])
def test_safe_csv_begins_no_text_like_a_formula(job: Path, pipeline, way: str) -> None:
    place = job.parent / "rows.csv"
    for safe in (False, True):
        options = ["--safe-csv"] if safe else []
        if way == "query":
            ran = pipeline("query", job, "select * from results", "--format", "csv", "-o", place, *options)
        else:
            ran = pipeline("export", job, place, *options)
        assert ran.code == 0, ran.err
        with place.open(newline="") as file:
            (row,) = csv.DictReader(file)
        mark = "'" if safe else ""
        assert row[f"{mark}=cmd"] == f"{mark}=1+1"
        assert row["note"] == f"{mark}-2 degrees"
        assert (row["n"], row["plain"]) == ("-5", "a cat")
        shutil.move(place, place.with_suffix(f".{safe}"))
