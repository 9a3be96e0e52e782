"""What `plan` foretells is what the run then spends: paid jobs against the embedded service over HTTP."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import offline

from pipeline import Job
from pipeline.cli.main import main

ROOT = Path(__file__).parents[2]
PRICE = {"input": 1.0, "output": 10.0, "currency": "CNY"}

JOBS = {
    "captions": ("qwen3-vl-plus", "/api/v1"),
    "captions-compatible": ("qwen3.6-plus", "/compatible-mode/v1"),
    "captions-qianfan-ernie": ("ernie-4.5-8k-preview", "/v2"),
    "catalogue": ("qwen3-vl-plus", "/api/v1"),
    "conversations": ("qwen3-vl-plus", "/api/v1"),
    "frames": ("qwen3-vl-plus", "/api/v1"),
    "ocr": ("qwen-vl-ocr", "/api/v1"),
    "questions": ("qwen3-vl-plus", "/api/v1"),
    "solve": ("qwen3.6-plus", "/api/v1"),
    "translate": ("qwen3-vl-plus", "/api/v1"),
}


@pytest.fixture(scope="module")
def service():
    with offline.running() as base:
        yield base


@pytest.fixture(autouse=True)
def _keys(monkeypatch):
    for name in ("DASHSCOPE_API_KEY", "QIANFAN_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-test")


def paid(service: str, name: str, output: Path, **settings: object) -> Job:
    """A sample job that asks the embedded service as if it were the paid one."""
    model, path = JOBS[name]
    overrides = {"provider.base_url": service + path, "models": {model: {"price": PRICE}}, **settings}
    return Job.load(ROOT / f"jobs/{name}.toml", overrides, output=output)


@pytest.mark.parametrize("name", JOBS)
def test_a_second_night_costs_what_the_plan_says(service, name, tmp_path):
    assert paid(service, name, tmp_path / "out").run(progress=False).answered
    again = paid(service, name, tmp_path / "out", **{"provider.parameters.top_p": 0.5})
    plan = again.plan()
    told = again.run(changed="redo", progress=False)
    assert plan.send == told.answered > 0
    assert plan.cost == pytest.approx(told.cost, rel=0.1)
    assert plan.cost_low <= told.cost <= plan.cost_high
    assert plan.worst_cost >= told.cost
    counted = again.connect().sql(f"select sum(media_tokens) from versions where run_id = '{told.run_id}'").fetchall()
    if counted[0][0] is not None:  # Qianfan's replies do not tell them apart
        assert plan.media_tokens == counted[0][0]


@pytest.mark.parametrize("name", ["captions", "catalogue", "captions-qianfan-ernie"])
def test_after_a_sample_the_cost_is_within_a_tenth_of_the_plan(service, name, tmp_path):
    job = paid(service, name, tmp_path / "out")
    job.run(sample=5, progress=False)
    plan = job.plan()
    assert (plan.send, plan.answers) == (8, 5)
    told = job.run(progress=False)
    assert plan.cost == pytest.approx(told.cost, rel=0.1)
    assert plan.cost_low <= told.cost <= plan.cost_high
