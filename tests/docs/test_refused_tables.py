"""Tables whose columns cannot give a job its input are refused before anything is sent, with the columns found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

JOB = (
    "task = '{task}'\nmanifest = '{name}'\noutput = 'out'\n"
    "[provider]\nname = 'openai'\nmodel = 'm1'\nbase_url = '{url}'\n"
)
CLOSED = "http://127.0.0.1:9/v1"
"""Nothing listens here: a request that went out would end in a failure."""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-fake-fake")

    def write(text: str, name: str = "m.csv", task: str = "caption", more: str = "") -> Path:
        (tmp_path / name).write_text(text)
        path = tmp_path / "job.toml"
        path.write_text(JOB.format(task=task, name=name, url=CLOSED) + more)
        return path

    return write


@pytest.mark.parametrize("task", ["caption", "ocr", "ask", "embed"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ID,Image\n1,a.jpg\n2,b.jpg\n", ["ID, Image", '[columns] image = "Image"']),
        ("1,a.jpg\n2,b.jpg\n", ["'a.jpg'", "no column's name"]),
        ("id,imgae\n1,a.jpg\n", ["imgae", '"imgae"']),
    ],
)
def test_a_table_without_the_input_is_exit_2(pipeline, job, tmp_path, task, text, words):
    path = job(text, task=task, more="[prompt]\ntext = 'What is this?'\n" if task == "ask" else "")
    for command in (["plan"], ["run"]):
        ran = pipeline(*command, path)
        assert ran.code == 2, ran.err
        assert words[1].strip('"') in ran.err or "Image" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("column", ["ID", "Id", "_id", "ids"])
def test_a_column_that_is_nearly_the_id_is_told(pipeline, job, column):
    path = job(f"{column},image\n1,gone.jpg\n")
    note = f'the column "{column}" is not the id: ids are made from the fields of each row'
    assert note in pipeline("plan", path).out
    ran = pipeline("run", path)
    assert note in ran.err
    assert f'[columns] id = "{column}"' in ran.err
    assert json.loads(pipeline("plan", path, "--json").out)["notes"]


def test_a_table_with_an_id_or_without_one_is_told_nothing(pipeline, job):
    for text in ("id,ID,image\n1,2,gone.jpg\n", "image\ngone.jpg\n"):
        assert "is not the id" not in pipeline("plan", job(text)).out
    path = job("ID,image\n1,gone.jpg\n", more='[columns]\nid = "ID"\n')
    assert "is not the id" not in pipeline("plan", path).out
