"""What `plan` foretells is what the run then spends: paid jobs against the embedded service over HTTP.

The jobs that take minutes run with PIPELINE_HEAVY_TESTS alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import offline

from pipeline import Job
from pipeline.providers import tokenizers
from pipeline.report import estimate_lines
from pipeline.report.summary import status_lines

ROOT = Path(__file__).parents[2]
PRICE = {"input": 1.0, "output": 10.0, "currency": "CNY"}

JOBS = {
    "captions": ("qwen3-vl-plus", "/api/v1"),
    "captions-compatible": ("qwen3.6-plus", "/compatible-mode/v1"),
    "captions-qianfan-ernie": ("ernie-4.5-8k-preview", "/v2"),
    "catalogue": ("qwen3-vl-plus", "/api/v1"),
    "conversations": ("qwen3-vl-plus", "/api/v1"),
    "frames": ("qwen3-vl-plus", "/api/v1"),
}
SLOW = {
    "ocr": ("qwen-vl-ocr", "/api/v1"),
    "questions": ("qwen3-vl-plus", "/api/v1"),
    "solve": ("qwen3.6-plus", "/api/v1"),
    "translate": ("qwen3-vl-plus", "/api/v1"),
}
RUN = [*JOBS, *(SLOW if "PIPELINE_HEAVY_TESTS" in os.environ else ())]


@pytest.fixture(scope="module")
def service():
    with offline.running() as base:
        yield base


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    for name in ("DASHSCOPE_API_KEY", "QIANFAN_API_KEY"):
        monkeypatch.setenv(name, "sk-test")


def paid(service: str, name: str, output: Path, **settings: object) -> Job:
    """A sample job that asks the embedded service as if it were the paid one."""
    model, path = {**JOBS, **SLOW}[name]
    overrides = {"provider.base_url": service + path, "models": {model: {"price": PRICE}}, **settings}
    return Job.load(ROOT / f"jobs/{name}.toml", overrides, output=output)


@pytest.mark.parametrize("name", RUN)
def test_a_second_night_costs_what_the_plan_says(service, name, tmp_path):
    assert paid(service, name, tmp_path / "out").run(progress=False).answered
    again = paid(service, name, tmp_path / "out", **{"provider.parameters.top_p": 0.5})
    plan = again.plan()
    told = again.run(changed="redo", progress=False)
    assert plan.send == told.answered > 0
    assert plan.cost == pytest.approx(told.cost, rel=0.1)
    assert plan.worst_cost >= told.cost
    [[counted]] = (
        again.connect().sql(f"select sum(media_tokens) from versions where run_id = '{told.run_id}'").fetchall()
    )
    if counted is not None:  # Qianfan's replies do not tell them apart
        assert plan.media_tokens == counted
    off = again.status().forecast
    assert off.expected_cost == pytest.approx(told.cost, rel=0.1)
    assert (off.cost, off.input_tokens, off.output_known) == (told.cost, told.input_tokens, True)


@pytest.mark.parametrize("name", ["captions", "catalogue", "captions-qianfan-ernie"])
def test_after_a_sample_the_cost_is_within_a_tenth_of_the_plan(service, name, tmp_path):
    job = paid(service, name, tmp_path / "out")
    first = job.run(sample=5, progress=False)
    shown = list(status_lines(job.status()))
    assert any(line.endswith("in the last run") and "expected (input alone)" in line for line in shown)
    plan = job.plan()
    assert (plan.send, plan.answers, plan.output_mean) == (8, 5, first.output_tokens / 5)
    told = job.run(progress=False)
    assert plan.cost == pytest.approx(told.cost, rel=0.1)
    assert plan.cost_low <= told.cost <= plan.cost_high
    assert any(line.startswith("plan:   ") and " %) in the last run" in line for line in status_lines(job.status()))


def test_smaller_pictures_cost_what_the_table_says(service, tmp_path):
    plain = paid(service, "captions", tmp_path / "out").plan(sizes=True)
    size = next(size for size in plain.sizes.table if size.max_tokens == 320)
    job = paid(service, "captions", tmp_path / "out", **{"media.max_tokens": 320})
    plan, told = job.plan(), job.run(progress=False)
    assert plan.media_tokens == size.media_tokens
    assert plan.cost == pytest.approx(size.cost)
    [[counted, most]] = job.connect().sql("select sum(media_tokens), max(media_tokens) from results").fetchall()
    assert (counted, told.failed) == (size.media_tokens, 0)
    assert counted < plain.media_tokens
    assert most <= 320


RUSSIAN = "Опишите подробно, что бы вы увидели на фотографии старого железнодорожного вокзала номер {}."


@pytest.fixture
def russian(service, tmp_path):
    """A job of thirty questions in a script that the estimate counts far too high."""
    rows = [{"id": str(number), "prompt": RUSSIAN.format(number)} for number in range(30)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = tmp_path / "job.toml"
    job.write_text(
        'task = "ask"\nmanifest = "rows.jsonl"\noutput = "out"\n[provider]\nname = "dashscope"\n'
        'model = "qwen3-vl-plus"\n'
    )
    return Job.load(job, {"provider.base_url": service + "/api/v1", "models": {"qwen3-vl-plus": {"price": PRICE}}})


def test_how_the_service_counts_texts_is_learnt(russian, monkeypatch):
    monkeypatch.setattr(tokenizers, "_loaded", lambda name: None)
    first = russian.plan()
    assert "pip install 'multimodal-batch[tokens]'" in first.counted_by
    few = russian.run(limit=19, progress=False)
    assert first.input_tokens / 30 > 1.5 * few.input_tokens / 19
    assert "an estimate;" in russian.plan().counted_by
    russian.run(limit=1, progress=False)
    plan = russian.plan()
    assert "learnt from 20 answers" in plan.counted_by
    told = russian.run(progress=False)
    assert plan.send == told.answered == 10
    assert plan.input_tokens == pytest.approx(told.input_tokens, rel=0.02)
    assert plan.cost == pytest.approx(told.cost, rel=0.1)
    assert told.cost <= plan.worst_cost


def test_the_input_of_a_model_whose_pictures_cannot_be_counted_is_learnt(service, tmp_path):
    photos = sorted((ROOT / "sample_data" / "photos").glob("*.jpg"))
    rows = [{"id": f"{night}-{path.stem}", "image": str(path)} for night in range(3) for path in photos]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    job_file = tmp_path / "job.toml"
    job_file.write_text(
        'task = "embed"\nmanifest = "rows.jsonl"\noutput = "out"\ndedupe = { equal = false }\n'
        '[provider]\nname = "dashscope"\nmodel = "qwen3-vl-embedding"\nparameters = { dimension = 1536 }\n'
    )
    price = {"input": 0.7, "media_input": 1.8, "currency": "CNY"}
    overrides = {"provider.base_url": service + "/api/v1", "models": {"qwen3-vl-embedding": {"price": price}}}
    job = Job.load(job_file, overrides)
    assert job.plan().cost is None
    job.run(limit=2 * len(photos), progress=False)
    plan = job.plan()
    assert "a row with pictures: " in plan.counted_by
    assert plan.counted_by.endswith(f", learnt from {2 * len(photos)} answers")
    told = job.run(progress=False)
    assert plan.send == told.answered == len(photos) >= 10
    assert plan.cost == pytest.approx(told.cost, rel=0.1)
    assert (plan.output_tokens, plan.answers, plan.cost_low) == (None, 0, None)


def test_the_lines_fit_a_terminal(service, tmp_path):
    job = paid(service, "captions", tmp_path / "out")
    job.run(sample=5, progress=False)
    lines = [*estimate_lines.lines(job.plan(sizes=True, similar=True)), *status_lines(job.status())]
    figures = [
        line for line in lines if line.split(":")[0] in ("tokens", "texts", "answers", "cost", "plan") or line[0] == " "
    ]
    assert len(figures) > 12
    assert [line for line in figures if len(line) > 80] == []
