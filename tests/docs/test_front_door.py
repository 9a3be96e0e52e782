"""From a folder to captions without a job file: `pipeline init`, `pipeline caption` and `Job(task=…)`."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import Job
from pipeline.errors import JobError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch, pipeline) -> Path:
    """A working folder with three photographs in `photos`, and a table of them."""
    (tmp_path / "photos").mkdir()
    for name in ("astronaut.jpg", "chelsea.jpg", "coffee.jpg"):
        shutil.copy(ROOT / "sample_data" / "photos" / name, tmp_path / "photos")
    (tmp_path / "shop.csv").write_text("sku,img_url,title\n1,photos/chelsea.jpg,a cat\n2,photos/coffee.jpg,a cup\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    return tmp_path


def test_a_folder_is_captioned_and_the_same_call_resumes(folder, pipeline):
    assert pipeline("caption", "photos", "--offline", "--limit", "1").code == 0
    again = pipeline("caption", "photos", "--offline")
    assert again.code == 0
    assert "2 answered" in again.err
    assert "1 skipped" in again.err
    found = pipeline(
        "query", "photos-caption", "select count(*) as n, count(caption) as c from results", "--format", "csv"
    )
    assert found.out.split() == ["n,c", "3,3"]
    assert tomllib.loads((folder / "photos-caption" / "job.toml").read_text())["manifest"] == "../photos"


def test_another_prompt_asks_as_an_edited_job_does(folder, pipeline):
    pipeline("caption", "photos", "--offline", "--limit", "1")
    asked = pipeline("caption", "photos", "--offline", "--prompt", "Name the animal.")
    assert asked.code == 2
    assert "--changed redo" in asked.err
    assert "Name the animal." not in (folder / "photos-caption" / "job.toml").read_text()
    redone = pipeline("caption", "photos", "--offline", "--prompt", "Name the animal.", "--changed", "redo")
    assert redone.code == 0
    assert "Name the animal." in (folder / "photos-caption" / "job.toml").read_text()
    assert "nothing to send" in pipeline("run", "photos-caption", "--offline").err


def test_one_picture_is_a_source(folder, pipeline):
    assert "1 answered" in pipeline("caption", "photos/coffee.jpg", "--offline").err
    assert (folder / "coffee-caption").is_dir()


def test_a_folder_of_another_source_is_refused(folder, pipeline):
    pipeline("caption", "photos", "--offline", "--limit", "1")
    said = pipeline("caption", "shop.csv", "--offline", "-o", "photos-caption")
    assert said.code == 2
    assert "keeps another job (caption of ../photos)" in said.err


def test_a_pattern_that_the_shell_wrote_out_is_explained(folder, pipeline):
    said = pipeline("caption", "photos/astronaut.jpg", "photos/coffee.jpg", "--offline")
    assert said.code == 2
    assert "name their folder (photos), or quote the pattern: 'photos/*.jpg'" in said.err


def test_run_of_a_folder_says_which_command_takes_it(folder, pipeline):
    said = pipeline("run", "photos")
    assert said.code == 2
    assert "pipeline caption photos" in said.err
    assert "pipeline init photos" in said.err


def test_no_source_leaves_no_folder_behind(folder, pipeline):
    assert pipeline("caption", "photo", "--offline").code == 2
    assert not list(folder.glob("photo-caption*"))


def test_init_writes_a_job_that_runs_as_it_is(folder, pipeline):
    said = pipeline("init", "shop.csv", "--task", "caption", "--prompt", "What is {title}?")
    assert said.code == 0
    assert "2 rows; `img_url` is taken as image; columns sku, img_url, title" in said.err
    assert "CNY" in said.err
    job = tomllib.loads((folder / "shop-caption.toml").read_text())
    assert job["columns"] == {"image": "img_url"}
    assert job["prompt"]["text"] == "What is {title}?"
    assert "2 answered" in pipeline("run", "shop-caption.toml", "--offline").err


@pytest.mark.parametrize("task", ["caption", "ocr", "embed", "ask"])
def test_init_writes_a_job_for_each_task(folder, pipeline, task):
    assert pipeline("init", "photos", "--task", task).code == 0
    assert pipeline("plan", f"photos-{task}.toml", "--offline").code == 0


def test_init_overwrites_nothing(folder, pipeline):
    (folder / "photos-ocr.toml").write_text("mine")
    said = pipeline("init", "photos", "--task", "ocr")
    assert said.code == 2
    assert "photos-ocr.toml is there already" in said.err
    assert (folder / "photos-ocr.toml").read_text() == "mine"


def test_init_without_a_terminal_needs_the_task(folder, pipeline):
    said = pipeline("init", "photos")
    assert (said.code, "--task is needed" in said.err) == (2, True)


def test_a_model_says_its_service(folder, pipeline):
    pipeline("init", "photos", "--task", "caption", "--model", "ernie-4.5-turbo-vl")
    assert tomllib.loads((folder / "photos-caption.toml").read_text())["provider"]["name"] == "qianfan"
    said = pipeline("init", "photos", "--task", "ocr", "--model", "my-own")
    assert said.code == 2
    assert "--provider is needed" in said.err


def test_the_service_whose_key_is_set_goes_first(folder, pipeline, monkeypatch):
    monkeypatch.setenv("QIANFAN_API_KEY", "bce-v3/ALTAK-fake")
    pipeline("init", "photos", "--task", "caption")
    assert tomllib.loads((folder / "photos-caption.toml").read_text())["provider"]["name"] == "qianfan"


def test_rows_from_python_need_no_file_and_resume(folder):
    rows = pa.table({"id": ["a", "b"], "text": ["a red car", "a blue car"]})
    assert Job(task="embed", manifest=rows, output="vectors", offline=True).run(limit=1).answered == 1
    assert Job(task="embed", manifest=rows, output="vectors", offline=True).run().answered == 1
    assert Job.load("vectors", offline=True).connect().sql("select count(*) from results").fetchall() == [(2,)]


def test_a_job_without_a_file_needs_a_task_and_a_manifest():
    with pytest.raises(JobError, match="needs a task and a manifest"):
        Job(task="caption")
