"""`pipeline plan` sends nothing, needs no key, and what it says is what the run then does."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def plan(pipeline, job: str, output: Path, *options: str) -> dict:
    ran = pipeline("plan", f"jobs/{job}.toml", "--output", output, *options, "--json")
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def test_the_tokens_foretold_are_the_tokens_counted(pipeline, tmp_path, monkeypatch):
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)
    foretold = plan(pipeline, "captions", tmp_path / "out")
    assert (foretold["rows"], foretold["new"], foretold["send"], foretold["refused"]) == (13, 13, 13, [])
    assert not (tmp_path / "out").exists()
    summary = tmp_path / "summary.json"
    assert (
        pipeline("run", "jobs/captions.toml", "--offline", "--output", tmp_path / "out", "--summary", summary).code == 0
    )
    told = json.loads(summary.read_text())
    assert told["input_tokens"] == foretold["input_tokens"]
    assert (told["cost"], told["figures"]["cost"], told["figures"]["unknown_cost"]) == (None, None, 13)
    after = plan(pipeline, "captions", tmp_path / "out", "--offline")
    assert (after["done"], after["send"], after["new"]) == (13, 0, 0)


def test_what_would_be_refused_is_said_with_the_reason(pipeline, tmp_path):
    foretold = plan(pipeline, "bad", tmp_path / "out")
    codes = {group["code"] for group in foretold["refused"]}
    # A picture that is cut off shows only when it is loaded.
    assert codes == {
        "Local.EmptyFile", "Local.NotAPicture", "Local.TooSmall",
        "Local.TooManyPixels", "Local.MissingFile", "Local.BadLine",
    }  # fmt: skip


def test_cost_and_time_come_from_price_and_limits(pipeline, tmp_path):
    price = 'models."qwen3-vl-plus".price={input=1.0,output=10.0,currency="CNY",per=1000}'
    foretold = plan(pipeline, "captions", tmp_path / "out", "--set", price, "--set", "limits.rpm=6")
    assert foretold["cost"] == foretold["input_tokens"] / 1000
    assert foretold["worst_cost"] >= foretold["cost"] + 13 * 300 * 10 / 1000
    assert (foretold["seconds"], foretold["limit"]) == (130.0, "6 requests a minute")
    text = pipeline("plan", "jobs/captions.toml", "--output", tmp_path / "out", "--set", price).out
    assert "CNY expected for the input alone, at worst" in text


def test_a_retired_model_is_noted(pipeline, tmp_path):
    notes = plan(pipeline, "captions-qwen-vl-max-retired", tmp_path / "out")["notes"]
    assert "qwen3-vl-plus" in " ".join(notes)
