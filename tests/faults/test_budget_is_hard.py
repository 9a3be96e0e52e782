"""The money of a run never passes its budget, whatever the service counts within its own rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.client import FAKE_KEY, KEY_NAME, Client, Seen, failures, found, serving

from pipeline import Job
from pipeline.errors import JobError
from pipeline.report.summary import Summary

PER = 1_000
OLD = '"qwen-vl-max-2024-08-09"'
"""A model whose input limit and token rule are published: 30,000 tokens."""


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def texts(body: dict[str, Any]) -> str:
    messages = body.get("messages") or body["input"]["messages"]
    return "".join(part["text"] for message in messages for part in message["content"] if part.get("text"))


def replying(tokens_in: Callable[[dict[str, Any]], int], tokens_out: int) -> Callable[[Seen], tuple[int, bytes] | None]:
    """A service that answers each chat with a usage as given; uploads it leaves to the embedded service."""

    def instead(seen: Seen) -> tuple[int, bytes] | None:
        if seen.method != "POST" or not seen.path.endswith(("/generation", "/chat/completions")):
            return None
        used = tokens_in(seen.json), tokens_out
        message = {"role": "assistant", "content": f"a cat number {used[0]}, on a chair, asleep in the sun"}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        if seen.path.endswith("/generation"):
            choice["message"] = {**message, "content": [{"text": message["content"]}]}
            usage = {"input_tokens": used[0], "output_tokens": used[1]}
            return 200, json.dumps({"output": {"choices": [choice]}, "usage": usage, "request_id": "r"}).encode()
        usage = {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)}
        return 200, json.dumps({"id": "c", "choices": [choice], "usage": usage}).encode()

    return instead


def rows(folder: Path, number: int, size: tuple[int, int] = (512, 512), **more: Any) -> list[dict[str, Any]]:
    made = []
    for index in range(number):
        name = f"p{index}.png"
        Image.new("RGB", size, (index, 80, 90)).save(folder / name)
        made.append({"id": str(index), "image": name, **more})
    return made


def priced(model: str, **table: Any) -> dict[str, Any]:
    return {f"models.{model}": {"price": {"input": 1.0, "output": 1.0, "per": PER}, **table}}


def spent(job: Job) -> float:
    (row,) = found(job, "select coalesce(sum(cost), 0) as cost from attempts")
    return float(row["cost"])


def one_run(client: Client, made: list[dict[str, Any]], most: float, **tables: Any) -> tuple[Job, Summary]:
    job = client.job(made, task="ask", budget={"max_cost": most}, prompt={"text": "a"}, **tables)
    return job, job.run()


def test_pictures_counted_by_the_larger_rule_keep_the_budget(tmp_path: Path) -> None:
    def counted(body: dict[str, Any]) -> int:
        return 11 + 5 + 3 + 361 + 2 + len(texts(body).encode())

    provider = {"name": "dashscope", "model": OLD.strip('"'), "parameters": {"max_tokens": 1}}
    with serving(instead=replying(counted, 1)) as service:
        client = Client(tmp_path, service.url)
        # Room for five requests of 324 + 2 tokens a picture, which is the smaller of the two published rules.
        job, summary = one_run(client, rows(tmp_path, 12), 5 * 0.355, provider=provider, **priced(OLD))
    assert (summary.exit_code, summary.stop_reason) == (3, "budget")
    assert 0 < spent(job) <= 5 * 0.355


@pytest.mark.parametrize(
    "provider",
    [
        {"name": "dashscope", "model": "qwen3-vl-plus", "protocol": "openai"},
        {"name": "dashscope", "model": "qwen3-vl-plus"},
        {"name": "qianfan", "model": "ernie-4.5-8k-preview"},
        {"name": "openai", "model": "m"},
    ],
)
def test_several_answers_at_once_are_neither_sent_nor_paid(tmp_path: Path, provider: dict[str, Any]) -> None:
    own = priced(f'"{provider["model"]}"', max_output_tokens=100, max_input_tokens=1_000)
    with serving(instead=replying(lambda body: 10, 400)) as service:
        client = Client(tmp_path, service.url)
        with pytest.raises(JobError, match="asks for several answers at once"):
            one_run(client, rows(tmp_path, 2), 1, provider={**provider, "parameters": {"n": 4}}, **own)
        job, summary = one_run(client, rows(tmp_path, 2, parameters={"n": 4}), 1, provider=provider, **own)
        assert (summary.exit_code, summary.failed) == (1, 2)
        assert {row["code"] for row in failures(job)} == {"Local.Parameter"}
        assert service.asked("/generation") + service.asked("/completions") == []


def test_what_a_model_thinks_is_reserved_with_its_answer(tmp_path: Path) -> None:
    provider = {"name": "dashscope", "model": "qwen3.7-plus", "parameters": {"max_tokens": 10}}
    with serving(instead=replying(lambda body: 100, 5_010)) as service:
        client = Client(tmp_path, service.url)
        job, summary = one_run(client, rows(tmp_path, 70, (64, 64)), 300, provider=provider, **priced('"qwen3.7-plus"'))
    assert summary.stop_reason == "budget"
    assert 0 < spent(job) <= 300


def test_more_input_than_the_model_takes_is_not_sent(tmp_path: Path) -> None:
    many = [f"p{row['id']}.png" for row in rows(tmp_path, 40, (1920, 1080))]
    made = [{"id": "many", "images": many}, {"id": "few", "images": many[:3]}]
    provider = {"name": "dashscope", "model": OLD.strip('"'), "parameters": {"max_tokens": 5}}
    with serving(instead=replying(lambda body: 9_000, 5)) as service:
        job = Client(tmp_path, service.url).job(made, provider=provider, prompt={"text": "a"}, **priced(OLD))
        plan = job.plan()
        summary = job.run()
        assert len(service.asked("/generation")) == 1
    assert [(group.code, group.id) for group in plan.refused] == [("Local.TooLong", "many")]
    assert plan.cost is not None
    assert plan.worst_cost is not None
    assert plan.worst_cost >= plan.cost > 0
    assert (summary.answered, summary.failed) == (1, 1)
    (failure,) = failures(job)
    assert (failure["id"], failure["code"]) == ("many", "Local.TooLong")
    assert "48,960 input tokens, qwen-vl-max-2024-08-09 takes 30,000" in failure["message"]


def test_a_fee_that_is_not_known_forbids_a_budget(tmp_path: Path) -> None:
    provider = {"name": "dashscope", "model": "qwen3-vl-plus"}
    own = priced('"qwen3-vl-plus"')
    with serving(instead=replying(lambda body: 10, 5)) as service:
        client = Client(tmp_path, service.url)
        with pytest.raises(JobError, match=r"budget\.max_cost cannot be kept: what .*enable_search adds"):
            one_run(client, rows(tmp_path, 1), 9, provider={**provider, "parameters": {"enable_search": True}}, **own)
        made = [*rows(tmp_path, 1, parameters={"enable_search": True}), {"id": "plain", "image": "p0.png"}]
        job, summary = one_run(client, made, 900, provider=provider, **own)
        assert (summary.answered, summary.failed) == (1, 1)
        (failure,) = failures(job)
        assert (failure["id"], failure["code"]) == ("0", "Local.UnknownCost")
        assert "enable_search" in failure["message"]
        assert len(service.asked("/generation")) == 1


def test_the_line_that_is_named_makes_the_budget_possible(tmp_path: Path) -> None:
    provider = {"name": "dashscope", "model": "qwen3.5-ocr", "parameters": {"max_tokens": 20}}
    with serving(instead=replying(lambda body: 400, 5)) as service:
        client = Client(tmp_path, service.url)
        with pytest.raises(JobError) as refused:
            one_run(client, rows(tmp_path, 1), 1, provider=provider)
        lines = str(refused.value).partition("add it to the job file:\n")[2]
        assert lines.startswith('[models."qwen3.5-ocr"]\nprice = { input = …, output = …, currency = "CNY" }')
        job = client.job(rows(tmp_path, 1), provider=provider)
        path = job.spec.path
        path.write_text(path.read_text() + "\n" + lines.replace("…", "1.0") + "\n")
        place = {**provider, "base_url": service.url + "/api/v1", "api_key_env": KEY_NAME}
        again = Job.load(path, {"provider": place, "prompt": {"text": "a"}, "budget": {"max_cost": 1}})
        assert again.run().answered == 1
    assert spent(again) == pytest.approx(405 / 1e6)
