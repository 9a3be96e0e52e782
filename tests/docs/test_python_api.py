from __future__ import annotations

import asyncio
from pathlib import Path

import polars
import pyarrow as pa
import pytest

from pipeline import Job
from pipeline.errors import JobError, QueryError

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "sample_data" / "photos"
CAPTIONS = ROOT / "jobs" / "captions.toml"


def table() -> pa.Table:
    pictures = [str(PHOTOS / "chelsea.jpg"), str(PHOTOS / "coffee.jpg")]
    return pa.table({"id": ["cat", "cup"], "image": pictures, "n": [1, 2], "category": ["animal", "food"]})


@pytest.fixture
def job(tmp_path) -> Job:
    return Job.load(CAPTIONS, offline=True, output=tmp_path / "out")


def test_a_job_runs_over_a_table_inside_a_running_loop(job):
    async def notebook():
        return await job.arun(table())

    summary = asyncio.run(notebook())
    assert (summary.exit_code, summary.answered, summary.rows) == (0, 2, 2)
    found = job.connect().sql("select id, n, typeof(n), caption from results order by id").fetchall()
    assert [row[:3] for row in found] == [("cat", 1, "BIGINT"), ("cup", 2, "BIGINT")]
    assert "cat" in found[0][3]


@pytest.mark.parametrize("kind", ["list", "generator", "polars", "reader"])
def test_any_table_or_iterable_is_a_manifest(job, kind):
    made = {
        "list": lambda: table().to_pylist(),
        "generator": lambda: iter(table().to_pylist()),
        "polars": lambda: polars.from_arrow(table()),
        "reader": lambda: table().to_reader(),
    }
    assert job.run(made[kind]()).answered == 2


def test_settings_of_one_run_are_arguments(job):
    summary = job.run(table(), limit=1)
    assert (summary.answered, summary.rows, summary.exit_code) == (1, 2, 0)


def test_overrides_stand_over_the_file(tmp_path):
    job = Job.load(CAPTIONS, {"provider": {"model": "qwen3.6-plus"}}, offline=True, output=tmp_path)
    assert job.spec.job.provider.model == "qwen3.6-plus"
    with pytest.raises(JobError, match="did you mean"):
        Job.load(CAPTIONS, {"provider": {"modle": "x"}})


def test_an_unknown_run_setting_is_refused(job):
    with pytest.raises(TypeError):
        job.run(limt=3)


def test_sql_that_duckdb_refuses_is_a_query_error(job):
    with pytest.raises(QueryError):
        job.query("select nothing from nowhere")


def test_the_version_is_the_installed_ones():
    from importlib.metadata import version

    from pipeline import __version__

    assert __version__ == version("multimodal-batch")
