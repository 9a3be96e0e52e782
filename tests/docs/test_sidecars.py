"""Answers beside their pictures, as programs that train on captions read them."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipeline import Job
from pipeline.errors import JobError

ROOT = Path(__file__).parents[2]
NAMES = ("chelsea", "coffee")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name, where in zip(NAMES, ("", "sub"), strict=True):
        shutil.copy(ROOT / "sample_data" / "photos" / f"{name}.jpg", tmp_path / "photos" / where)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def job(folder) -> Job:
    job = Job(task="caption", manifest="photos", offline=True)
    assert job.run().answered == 2
    return job


def captions(job: Job) -> dict[str, str]:
    return dict(job.connect().sql("select id, caption from results").fetchall())


def test_each_caption_lies_beside_its_picture(folder, job):
    assert job.sidecars("txt").written == 2
    assert (folder / "photos/chelsea.txt").read_text() == captions(job)["chelsea.jpg"]
    assert (folder / "photos/sub/coffee.txt").read_text() == captions(job)["sub/coffee.jpg"]
    assert job.run().sent == 0


def test_a_folder_gets_the_same_tree(folder, job):
    job.sidecars("txt", folder / "side")
    assert sorted(str(path.relative_to(folder / "side")) for path in (folder / "side").rglob("*.txt")) == [
        "chelsea.txt",
        "sub/coffee.txt",
    ]
    assert not list((folder / "photos").rglob("*.txt"))


def test_a_file_of_others_stays_unless_asked(folder, job):
    (folder / "photos/chelsea.txt").write_text("mine")
    found = job.sidecars("txt")
    assert (found.written, found.foreign) == (1, 1)
    assert (folder / "photos/chelsea.txt").read_text() == "mine"
    assert job.sidecars("txt", overwrite=True).written == 1
    assert (folder / "photos/chelsea.txt").read_text() == captions(job)["chelsea.jpg"]


def test_files_of_an_earlier_export_are_replaced(folder, job):
    job.sidecars("txt")
    assert job.sidecars("txt").same == 2
    found = job.sidecars("txt", template="ohwx, {caption}")
    assert (found.written, found.foreign) == (2, 0)
    assert (folder / "photos/chelsea.txt").read_text() == f"ohwx, {captions(job)['chelsea.jpg']}"
    (folder / "photos/chelsea.txt").write_text("edited by hand")
    assert job.sidecars("txt").foreign == 1
    assert (folder / "photos/chelsea.txt").read_text() == "edited by hand"


def test_a_template_with_an_unknown_column_writes_nothing(folder, job):
    with pytest.raises(JobError, match=r"captoin.*did you mean"):
        job.sidecars("txt", template="{captoin}")
    assert not list((folder / "photos").rglob("*.txt"))


def test_tags_of_a_typed_answer_are_joined_by_commas(folder):
    fields = {"title": "text", "tags": "list of text"}
    job = Job(
        task="caption",
        manifest=folder / "photos",
        output=folder / "typed",
        offline=True,
        overrides={"answer": {"fields": fields}},
    )
    job.run()
    job.sidecars("txt", folder / "side", template="ohwx, {title}, {tags}")
    tags = job.results(columns=["id", "tags"]).to_pylist()[0]["tags"]
    assert len(tags) > 1
    texts = [path.read_text() for path in (folder / "side").glob("*.txt")]
    assert any(text.startswith("ohwx, ") and text.endswith(", ".join(tags)) for text in texts)


def test_json_has_the_chosen_columns_and_xmp_the_caption(folder, job):
    job.sidecars("json", folder / "side", columns=("id", "caption"))
    assert json.loads((folder / "side/chelsea.json").read_text()) == {
        "id": "chelsea.jpg",
        "caption": captions(job)["chelsea.jpg"],
    }
    job.sidecars("xmp", folder / "side", template="<{id}> & more")
    found = ElementTree.parse(folder / "side/chelsea.xmp").getroot().itertext()
    assert "".join(found).strip() == "<chelsea.jpg> & more"


def test_two_pictures_of_one_name_are_counted(folder):
    shutil.copy(folder / "photos/chelsea.jpg", folder / "photos/chelsea.jpeg")
    job = Job(task="caption", manifest="photos", offline=True)
    job.run()
    found = job.sidecars("txt")
    assert (found.written, found.doubled) == (2, 1)


def test_members_of_archives_need_a_folder(folder):
    with tarfile.open(folder / "shard.tar", "w") as tar:
        tar.add(folder / "photos/chelsea.jpg", "a/chelsea.jpg")
    job = Job(task="caption", manifest="shard.tar", offline=True)
    job.run()
    assert job.sidecars("txt").elsewhere == 1
    assert job.sidecars("txt", folder / "side").written == 1
    assert (folder / "side/shard.tar/a/chelsea.txt").exists()


def test_vectors_have_no_text(folder):
    job = Job(task="embed", manifest="photos", offline=True)
    with pytest.raises(JobError, match="an answer of embed is no text"):
        job.sidecars("txt")


def test_the_command_says_what_it_wrote(folder, job, pipeline, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "photos/chelsea.txt").write_text("mine")
    said = pipeline("export", "photos-caption", "--offline", "--sidecar", "txt")
    assert said.code == 0
    assert "1 .txt files written" in said.err
    assert "1 not written: another file of that name is there; --overwrite replaces it" in said.err


def test_export_to_stdout_is_one_object_a_line(folder, job, pipeline, monkeypatch):
    monkeypatch.chdir(folder)
    said = pipeline("export", "photos-caption", "-", "--columns", "id,caption", "--offline")
    assert {row["id"]: row["caption"] for row in map(json.loads, said.out.splitlines())} == captions(job)
