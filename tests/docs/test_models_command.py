"""`pipeline models` lists what is known, in 80 columns, without a job and without a key."""

from __future__ import annotations

import json

import pytest

from pipeline.providers import prices


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)


def test_the_table_has_a_line_for_every_price(pipeline):
    ran = pipeline("models")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 80
    (line,) = [line for line in ran.out.splitlines() if line.startswith("qwen3-vl-plus ")]
    assert line.rstrip("*").split() == ["qwen3-vl-plus", "cap,ocr,ask", "260k", "1/10", "CNY+", "CN", "2026-06"]
    assert "No longer served: " in ran.out
    for heading in ("-- dashscope --", "-- openai --", "-- qianfan --"):
        assert heading in ran.out


def test_one_service_can_be_asked_for(pipeline):
    ran = pipeline("models", "--provider", "qianfan")
    assert "ernie-4.5-turbo-vl" in ran.out
    assert "-- dashscope --" not in ran.out


def test_one_model_is_shown_with_all_its_prices_and_sources(pipeline):
    out = pipeline("models", "qwen3-vl-plus").out
    assert max(map(len, out.splitlines())) <= 80
    for known in (
        "at most 260,096 tokens", "up to 32,000 input tokens: input 1, output 10, cached input 0.2", "batch: 0.5",
        "price (mainland, CNY per 1,000,000 tokens, 2026-06-26", "price (international, USD", "source: ",
    ):  # fmt: skip
        assert known in out


def test_an_old_price_is_said_to_be_old(pipeline):
    told = " ".join(pipeline("models", "qwen-vl-max-0809").out.split())
    assert "2024-09-19 (more than half a year old)" in told


def test_a_retired_model_is_said_to_be(pipeline):
    assert "not served:   since 2025-07-02; successor: qwen3-vl-plus" in pipeline("models", "llama3.2-11b-vision").out


def test_a_name_that_is_not_known_has_the_nearest_one(pipeline):
    ran = pipeline("models", "qwen3-vl-pluss")
    assert (ran.code, ran.out) == (2, "")
    assert 'did you mean "qwen3-vl-plus"?' in ran.err


def test_as_json_the_list_is_whole(pipeline):
    found = json.loads(pipeline("models", "--json").out)
    priced = {(entry["service"], entry["model"]["name"]) for entry in found if entry["prices"]}
    tables = prices._data()["prices"]
    assert {(service, name) for service in tables for table in tables[service].values() for name in table} <= priced
    (plus,) = json.loads(pipeline("models", "qwen3-vl-plus", "--json").out)
    assert {price["currency"] for price in plus["prices"]} == {"CNY", "USD"}


def test_the_users_own_models_are_listed_too(pipeline, tmp_path):
    own = tmp_path / "config" / "multimodal-batch" / "models.toml"
    own.parent.mkdir(parents=True)
    own.write_text(
        '[models."my-tune"]\nlike = "qwen3-vl-plus"\nprice = { input = 3.0, currency = "EUR" }\n'
        '[models."qwen3-vl-plus"]\nprice = { input = 0.9, output = 9.0 }\n'
    )
    out = pipeline("models").out
    assert "-- yours --\nmy-tune" in out
    (line,) = [line for line in out.splitlines() if line.startswith("qwen3-vl-plus ")]
    assert line.split()[3:5] == ["0.9/9", "CNY"]
