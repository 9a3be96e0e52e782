"""A model, a price or an OpenAI-like server is a few lines of data: in the job, in a user-wide file, or built in."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.client import CAT, FAKE_KEY, KEY_NAME, ended, failures, found, serving

from pipeline import Job
from pipeline.errors import JobError
from pipeline.providers import models

OWN = """
[models."my-fine-tune"]
like  = "qwen3-vl-plus"
price = { input = 1.5, output = 4.0, currency = "CNY", per = 1_000_000 }
"""
SERVED = """
[models."Qwen/Qwen2.5-VL-7B-Instruct"]
like              = "qwen2.5-vl-7b-instruct"
max_output_tokens = 1_024
price             = { input = 0, output = 0, currency = "EUR" }
"""
BUILT_IN = """
[dashscope.models."qwen4-vl-plus"]
family = "qwen3-vl"
incremental = "default"
rpm = 3_000
price = { input = 1.0, output = 3.0, currency = "CNY", date = "2027-01-01", source = "the service's price page" }
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def user_wide(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config" / "multimodal-batch" / "models.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)


def job(folder: Path, provider: str, more: str = "") -> Job:
    (folder / "rows.jsonl").write_text(f'{{"id": "a", "image": "{CAT}"}}\n')
    path = folder / "job.toml"
    path.write_text(f'task = "caption"\nmanifest = "rows.jsonl"\noutput = "out"\n[provider]\n{provider}\n{more}')
    return Job.load(path)


def dashscope(url: str, model: str) -> str:
    return f'name = "dashscope"\nmodel = "{model}"\napi_key_env = "{KEY_NAME}"\nbase_url = "{url}/api/v1"'


def cost(job: Job) -> dict[str, Any]:
    (row,) = found(job, "select cost, currency, input_tokens, output_tokens from results")
    return row


@pytest.mark.parametrize("where", ["in the job", "user-wide"])
def test_a_model_of_ones_own_has_the_facts_of_another_and_its_price(tmp_path: Path, where: str) -> None:
    if where == "user-wide":
        user_wide(tmp_path, OWN)
    with serving() as service:
        mine = job(tmp_path, dashscope(service.url, "my-fine-tune"), OWN if where == "in the job" else "")
        assert ended(mine.run()) == (0, "finished", 1, 0, 0)
        assert len(service.asked("/oss/")) == 1
    row = cost(mine)
    assert row["currency"] == "CNY"
    assert row["cost"] == pytest.approx((1.5 * row["input_tokens"] + 4 * row["output_tokens"]) / 1e6)


def test_the_jobs_own_price_goes_before_the_user_wide_one(tmp_path: Path) -> None:
    user_wide(tmp_path, OWN)
    price = '[models."my-fine-tune"]\nprice = { input = 3.0, currency = "USD" }'
    with serving() as service:
        mine = job(tmp_path, dashscope(service.url, "my-fine-tune"), price)
        mine.run()
    row = cost(mine)
    assert row["currency"] == "USD"
    assert row["cost"] == pytest.approx(3 * (row["input_tokens"] + row["output_tokens"]) / 1e6)


def test_a_price_in_a_job_makes_a_budget_possible(tmp_path: Path) -> None:
    budget = "\n[budget]\nmax_cost = 0.000001\n"
    with serving() as service:
        with pytest.raises(JobError, match=r'add it to the job file:\n\[models\."unpriced"\]'):
            job(tmp_path, dashscope(service.url, "unpriced"), budget).run()
        bound = "\n[provider.parameters]\nmax_tokens = 100\n"
        stopped = job(tmp_path, dashscope(service.url, "my-fine-tune") + bound, OWN + budget).run()
        assert ended(stopped) == (3, "budget", 0, 0, 1)
        assert service.asked("/generation") == []


def test_any_openai_like_server_is_a_base_url(tmp_path: Path) -> None:
    with serving() as service:
        provider = f'name = "openai"\nbase_url = "{service.url}/v1"\nmodel = "Qwen/Qwen2.5-VL-7B-Instruct"'
        (tmp_path / "known").mkdir()
        plain = job(tmp_path, f'{provider}\napi_key_env = "{KEY_NAME}"')
        assert ended(plain.run()) == (0, "finished", 1, 0, 0)
        assert cost(plain)["cost"] is None
        known = job(tmp_path / "known", f'{provider}\napi_key_env = "{KEY_NAME}"', SERVED)
        assert ended(known.run()) == (0, "finished", 1, 0, 0)
        assert (cost(known)["cost"], cost(known)["currency"]) == (0, "EUR")
        assert service.paths() == ["/v1/chat/completions"] * 2


def test_a_capability_of_ones_own_is_kept(tmp_path: Path) -> None:
    with serving() as service:
        mine = job(tmp_path, dashscope(service.url, "words-only"), '[models."words-only"]\nimages = false')
        assert ended(mine.run()) == (1, "finished", 0, 1, 0)
        assert service.seen == []
    assert failures(mine)[0]["code"] == "Local.Pictures"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[models."m"]\npric = { input = 1 }', 'user-wide models.m.pric: unknown key; did you mean "price"?'),
        ('[models."m"]\nlike = "qwen3-vl-pls"', 'user-wide models.m.like: no model "qwen3-vl-pls" is known'),
        ('[model."m"]\nprice = { input = 1 }', 'expected only tables [models."name"]'),
        ("[models", "not valid TOML"),
    ],
)
def test_a_user_wide_file_that_does_not_fit_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    user_wide(tmp_path, text)
    with serving() as service:
        with pytest.raises(JobError) as caught:
            job(tmp_path, dashscope(service.url, "qwen3-vl-plus")).run()
        assert service.seen == []
    assert words in str(caught.value)


def test_a_built_in_model_is_a_few_lines_of_the_same_data() -> None:
    (table,) = tomllib.loads(BUILT_IN)["dashscope"]["models"].values()
    assert table.pop("family") in models._data()["dashscope"]["families"]
    models.check_tables({"qwen4-vl-plus": table})
    built_in = [entry for tables in models._data().values() for entry in tables.get("models", {}).values()]
    lines = sorted(len(entry) for entry in built_in)
    assert lines[len(lines) // 2] <= 8
