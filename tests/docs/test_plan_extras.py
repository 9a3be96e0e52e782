"""`pipeline plan --sizes` and `--similar`: reports for people and as JSON, which send and change nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "sample_data" / "photos"


def job_of(folder: Path, *lines: str, model: str = "qwen3-vl-plus") -> Path:
    job = folder / "job.toml"
    provider = f'provider = {{ name = "dashscope", model = "{model}" }}'
    head = f'task = "caption"\nmanifest = "pictures"\noutput = "out"\n{provider}\n'
    job.write_text(head + "\n".join(lines))
    return job


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("chelsea", "coffee"):
        shutil.copy(PHOTOS / f"{name}.jpg", folder)
    Image.open(PHOTOS / "rocket.jpg").resize((1600, 1000)).save(folder / "rocket.jpg")
    Image.open(PHOTOS / "chelsea.jpg").save(folder / "chelsea2.jpg", quality=50)
    Image.open(PHOTOS / "chelsea.jpg").resize((300, 200)).save(folder / "chelsea3.png")
    shutil.copy(PHOTOS / "coffee.jpg", folder / "same.jpg")
    (folder / "bad.jpg").write_bytes((PHOTOS / "rocket.jpg").read_bytes()[:3_000])
    return folder


def planned(pipeline, job: Path, *options: str) -> dict:
    ran = pipeline("plan", job, *options, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_near_equal_pictures_are_counted_and_nothing_is_shared_for_it(pipeline, tmp_path, pictures):
    job = job_of(tmp_path)
    plain = planned(pipeline, job)
    found = planned(pipeline, job, "--similar")
    similar = found.pop("similar")
    assert found | {"similar": None} == plain
    assert similar.pop("spared_cost") == pytest.approx(plain["cost"] / (plain["send"] - plain["shared"]) * 2)
    [group] = similar.pop("examples")
    assert (group["rows"], sorted(group["ids"])) == (3, ["chelsea.jpg", "chelsea2.jpg", "chelsea3.png"])
    assert similar == {
        "looked_at": 7, "of": 7, "unreadable": 1, "repeats": 1, "groups": 1, "rows": 3, "spared": 2
    }  # fmt: skip
    text = pipeline("plan", job, "--similar").out
    assert "similar: 3 of 7 pictures are nearly equal, in 1 group" in text
    assert "would spare 2 rows" in text
    assert not (tmp_path / "out").exists()


def test_rows_that_are_answered_spare_nothing(pipeline, tmp_path, pictures):
    job = job_of(tmp_path)
    assert pipeline("run", job, "--offline", "--limit", "2", "--quiet").code in (0, 1)  # bad.jpg and chelsea.jpg
    assert planned(pipeline, job, "--offline", "--similar")["similar"]["spared"] == 2  # neither of the two others
    assert pipeline("run", job, "--offline", "--quiet").code == 1
    assert planned(pipeline, job, "--offline", "--similar")["similar"]["spared"] == 0


def test_a_sample_is_compared_of_many_pictures(pipeline, tmp_path, pictures, monkeypatch):
    monkeypatch.setattr("pipeline.run.estimate_similar.MOST", 3)
    similar = planned(pipeline, job_of(tmp_path), "--similar")["similar"]
    assert (similar["looked_at"], similar["of"]) == (3, 7)
    assert "of 3 pictures of 7 are nearly equal" in pipeline("plan", job_of(tmp_path), "--similar").out


def test_the_sizes_begin_with_the_plan_and_end_with_lines_for_the_job(pipeline, tmp_path, pictures):
    plan = planned(pipeline, job_of(tmp_path), "--sizes")
    first, *smaller = plan["sizes"]["table"]
    assert (first["media_tokens"], first["cost"], first["smaller"]) == (plan["media_tokens"], plan["cost"], 0)
    assert [size["max_tokens"] for size in smaller] == [1280, 640, 320, 160]
    tokens = [size["media_tokens"] for size in (first, *smaller)]
    assert tokens == sorted(tokens, reverse=True)
    text = pipeline("plan", job_of(tmp_path), "--sizes").out
    lines = text[text.index("[media]") :].splitlines()[:2]
    chosen = job_of(tmp_path, *(line.strip() for line in lines))
    size = next(size for size in smaller if f"max_tokens = {size['max_tokens']}" in lines[1])
    assert planned(pipeline, chosen)["media_tokens"] == size["media_tokens"]


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [
        ("llama3.2-90b-vision-instruct", "", "sizes:   how llama3.2-90b-vision-instruct counts"),
        ("qwen3-vl-plus", '[media]\nresize = "off"', 'sizes:   media.resize = "off" makes no picture smaller'),
    ],
)
def test_why_there_are_no_sizes_is_said(pipeline, tmp_path, pictures, model, more, words):
    assert words in pipeline("plan", job_of(tmp_path, more, model=model), "--sizes").out


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("media.max_tokens=100", "at least 130"),
        ("media.max_tokens=0", "media.max_tokens"),
        ("provider.model=llama3.2-90b-vision-instruct", "is not known; take it out"),
    ],
)
def test_a_bound_that_cannot_be_kept_is_refused(pipeline, tmp_path, pictures, setting, words):
    job = job_of(tmp_path, "[media]", "max_tokens = 320")
    ran = pipeline("plan", job, "--set", setting)
    assert (ran.code, words in ran.err) == (2, True)


def test_another_bound_asks_again_only_where_pictures_are_loaded_here(pipeline, tmp_path):
    rows = [{"id": "here", "image": str(PHOTOS / "coffee.jpg")}, {"id": "url", "image": "https://example.com/p.jpg"}]
    (tmp_path / "pictures").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = job_of(tmp_path, '[manifest]\npath = "pictures"\nformat = "jsonl"\n')
    job.write_text(job.read_text().replace('manifest = "pictures"\n', ""))
    assert pipeline("run", job, "--offline", "--quiet").code in (0, 1)
    assert planned(pipeline, job, "--offline")["changed"] == 0
    assert planned(pipeline, job, "--offline", "--set", "media.max_tokens=160")["changed"] == 1
