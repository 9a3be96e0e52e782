"""What is likely a mistake, but may be meant, is noted on stderr and in `plan`; nothing is refused for it."""

from __future__ import annotations

import json

import pytest

NOTE = 'note: provider.model: no model "qwen3-vl-pluss" is known; did you mean "qwen3-vl-plus"?'


@pytest.fixture
def try_model(pipeline, tmp_path):
    def run(model: str, *options: str, command: str = "run"):
        rest = ("--limit", "1") if command == "run" else ()
        settings = ("--set", f"provider.model={model}", *options, *rest)
        ran = pipeline(command, "jobs/captions.toml", "--offline", "--output", tmp_path / model, *settings)
        assert ran.code == 0, ran.err
        return ran

    return run


def test_a_model_a_letter_off_is_noted_and_run(try_model):
    assert NOTE in try_model("qwen3-vl-pluss").err.splitlines()[0]


@pytest.mark.parametrize("model", ["qwen3-vl-plu", "qwne3-vl-plus", "Qwen3-VL-Plus", "qwen3-vl-plsu"])
def test_the_nearest_known_model_is_named(try_model, model):
    assert 'did you mean "qwen3-vl-plus"?' in try_model(model, command="plan").out


@pytest.mark.parametrize("model", ["qwen3-vl-plus", "my-fine-tune", "qwen3-vl-plus-2025-09-23"])
def test_a_known_or_altogether_other_model_is_not_noted(try_model, model):
    assert "did you mean" not in try_model(model).err
    assert "did you mean" not in try_model(model, command="plan").out


def test_a_model_with_no_more_than_a_price_is_not_noted(pipeline, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Why?"}\n')
    job = tmp_path / "job.toml"
    job.write_text('task = "ask"\nmanifest = "rows.jsonl"\noutput = "out"\n[provider]\nname = "qianfan"\n')
    ran = pipeline("plan", job, "--set", "provider.model=ernie-5.1")
    assert ran.code == 0, ran.err
    assert "did you mean" not in ran.out


def test_a_declared_model_is_not_noted(try_model):
    declared = 'models."qwen3-vl-pluss".like="qwen3-vl-plus"'
    assert "did you mean" not in try_model("qwen3-vl-pluss", "--set", declared).err


def test_plan_notes_it_as_data(try_model):
    notes = json.loads(try_model("qwen3-vl-pluss", "--json", command="plan").out)["notes"]
    assert any("did you mean" in note for note in notes)


def test_a_json_log_stays_json(try_model):
    lines = [json.loads(line) for line in try_model("qwen3-vl-pluss", "--log-format", "json").err.splitlines()]
    assert lines[0]["event"] == "note"
    assert "did you mean" in lines[0]["message"]
