"""What was written is read by the tools of others: datasets, Lance, polars, pandas, DuckDB, with two lines each."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import datasets
import duckdb
import lance
import pandas as pd
import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from pipeline import Job, JobError
from pipeline.cli.main import cli

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "sample_data" / "photos"
NAMES = ("chelsea.jpg", "coffee.jpg", "rocket.jpg")


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def job(tmp_path) -> Job:
    (tmp_path / "photos").mkdir()
    for name in NAMES:
        (tmp_path / "photos" / name).write_bytes((PHOTOS / name).read_bytes())
    rows = [{"id": name[:-4], "image": f"photos/{name}", "shelf": place} for place, name in enumerate(NAMES)]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = {"fields": {"title": "text", "colors": "list of text"}}
    job = Job(
        task="caption",
        manifest=tmp_path / "m.jsonl",
        output=tmp_path / "out",
        offline=True,
        overrides={"answer": answer},
    )
    job.run()
    return job


def test_an_output_is_a_dataset(job):
    found = datasets.load_dataset(str(job.spec.output), split="train")
    assert sorted(found["id"]) == ["chelsea", "coffee", "rocket"]
    assert isinstance(found[0]["colors"], list)


def test_an_output_with_superseded_answers_says_how_it_becomes_a_dataset_again(job):
    changed = Job(task="caption", manifest=job.spec.manifest, output=job.spec.output.parent / "out", offline=True)
    changed.spec.job.provider.parameters["seed"] = 7
    assert changed.run(changed="redo").answered == 3
    page = (job.spec.output / "README.md").read_text()
    assert "3 answers are superseded" in page
    assert "configs:" not in page
    job.compact(drop_superseded=True)
    assert len(datasets.load_dataset(str(job.spec.output), split="train")) == 3


def test_a_readme_of_somebody_else_stays(job):
    (job.spec.output / "README.md").write_text("mine")
    job.compact()
    assert (job.spec.output / "README.md").read_text() == "mine"


def test_an_image_folder_is_a_dataset_with_pictures(job, tmp_path):
    counts = job.image_folder(tmp_path / "hf", columns=["caption", "title", "colors"])
    assert (counts.written, counts.elsewhere, counts.several) == (3, 0, 0)
    found = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "hf"), split="train")
    assert found.column_names == ["image", "caption", "title", "colors"]
    assert isinstance(found[0]["image"], Image.Image)
    with pytest.raises(JobError, match="must be a new or an empty folder"):
        job.image_folder(tmp_path / "hf")


def test_members_of_archives_are_pictures_of_an_image_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for name in NAMES:
            archive.write(PHOTOS / name, f"in/{name}")
    job = Job(task="caption", manifest=tmp_path / "photos.zip", output=tmp_path / "out", offline=True)
    job.run()
    assert job.image_folder(tmp_path / "hf").written == 3
    assert (tmp_path / "hf/photos.zip/in/coffee.jpg").read_bytes() == (PHOTOS / "coffee.jpg").read_bytes()


@pytest.mark.parametrize("name", ["r.parquet", "r.csv", "r.jsonl", "r.json", "r.arrow"])
def test_a_query_goes_to_a_file_by_its_ending(job, tmp_path, name):
    file = tmp_path / "made" / name if name.endswith(("parquet", "arrow")) else tmp_path / name
    sql = "select id, shelf, colors from results order by id"
    ran = CliRunner().invoke(cli, ["query", str(job.spec.path.parent), "--offline", sql, "-o", str(file)])
    assert ran.exception is None, ran.output
    readers = {
        "parquet": lambda: pl.read_parquet(file),
        "csv": lambda: pl.read_csv(file),
        "jsonl": lambda: pl.read_ndjson(file),
        "json": lambda: pl.read_json(file),
        "arrow": lambda: pl.read_ipc(file),
    }
    found = readers[file.suffix[1:]]()
    assert found["id"].to_list() == ["chelsea", "coffee", "rocket"]
    assert found["shelf"].to_list() == [0, 1, 2]


def test_parts_and_exports_are_read_by_polars_pandas_duckdb_and_lance(job, tmp_path):
    job.export(tmp_path / "r.parquet")
    job.export(tmp_path / "r.csv")
    assert pl.read_parquet(tmp_path / "r.parquet")["title"].dtype == pl.String
    assert sorted(pd.read_parquet(tmp_path / "r.parquet")["id"]) == ["chelsea", "coffee", "rocket"]
    assert len(pd.read_csv(tmp_path / "r.csv")) == 3
    connection = duckdb.connect()
    connection.execute((job.spec.output / "catalog.sql").read_text())
    assert connection.sql("select count(*), any_value(typeof(colors)) from results").fetchall() == [(3, "VARCHAR[]")]


def test_lance_is_written_and_read(job, tmp_path):
    job.export(tmp_path / "r.lance")
    assert sorted(lance.dataset(str(tmp_path / "r.lance")).to_table()["id"].to_pylist()) == [
        "chelsea",
        "coffee",
        "rocket",
    ]
