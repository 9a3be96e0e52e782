"""Every way the service can fail ends a job of ours in the right exit code, fault and code; over real http."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.client import CAT, FAKE_KEY, KEY_NAME, Client, ended, failures, found, serving

from pipeline.offline.service_options import ServiceOptions

NATIVE = {"name": "dashscope", "model": "qwen3-vl-plus"}
COMPATIBLE = {**NATIVE, "protocol": "openai"}
QIANFAN = {"name": "qianfan", "model": "ernie-4.5-8k-preview"}
OPENAI = {"name": "openai", "model": "any/model"}
WAYS = {"native": NATIVE, "compatible": COMPATIBLE, "qianfan": QIANFAN, "openai": OPENAI}
THROTTLED = {"native": "Throttling.RateQuota", "compatible": "limit_requests", "qianfan": "rpm_rate_limit_exceeded",
             "openai": "limit_requests"}  # fmt: skip


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": f"{number:02}", "prompt": f"Hello {number}"} for number in range(count)]


@pytest.mark.parametrize("way", WAYS)
def test_what_passes_is_sent_again_until_every_row_is_answered(tmp_path: Path, way: str) -> None:
    script = ("429", "500", "503", "html", "cut", "garbage", "empty", "drop", "stream-error")
    with serving(ServiceOptions(script=script)) as service:
        job = Client(tmp_path, service.url).job(
            rows(len(script)), provider={**WAYS[way], "stream": True}, limits={"concurrency": 16}
        )
        summary = job.run()
    assert ended(summary) == (0, "finished", len(script), 0, 0), summary
    faults = found(job, "select fault, code, http_status from attempts where fault is not null order by all")
    seen = {(one["fault"], one["code"]) for one in faults}
    assert len(faults) == len(script)
    assert {("throttled", THROTTLED[way]), ("malformed", "Local.Malformed"), ("transient", "Local.StreamCut"),
            ("transient", "Http502"), ("transient", "Local.Disconnected")} <= seen  # fmt: skip
    assert [one["fault"] for one in faults].count("throttled") == 2
    assert [one["fault"] for one in faults].count("malformed") == 2
    assert found(job, "select count(*) as n from attempts") == [{"n": 2 * len(script)}]
    assert failures(job) == []


@pytest.mark.parametrize("way", ["native", "qianfan"])
def test_a_stated_wait_is_waited(tmp_path: Path, way: str) -> None:
    with serving(ServiceOptions(script=("429+retry-after",), retry_after=2)) as service:
        job = Client(tmp_path, service.url).job(rows(1), provider=WAYS[way])
        summary = job.run()
    assert (summary.exit_code, summary.attempts) == (0, 2)
    (gap,) = found(job, "select date_diff('ms', min(started_at), max(started_at)) as ms from attempts")
    assert 2000 <= gap["ms"] < 3500


ACCOUNT = [
    ("401", "native", "InvalidApiKey"),
    ("401", "compatible", "invalid_api_key"),
    ("401", "qianfan", "invalid_iam_token"),
    ("401", "openai", "invalid_api_key"),
    ("arrears", "native", "Arrearage"),
    ("arrears", "compatible", "Arrearage"),
    ("arrears", "qianfan", "account_overdue"),
    ("model-gone", "native", "ModelNotFound"),
    ("model-gone", "compatible", "model_not_found"),
    ("model-gone", "qianfan", "model_offline"),
    ("model-gone", "openai", "model_not_found"),
]


@pytest.mark.parametrize(("kind", "way", "code"), ACCOUNT)
def test_what_only_a_person_can_clear_stops_the_run_and_leaves_the_rows(
    tmp_path: Path, kind: str, way: str, code: str
) -> None:
    with serving(ServiceOptions(fail=((kind, 1.0),))) as service:
        job = Client(tmp_path, service.url).job(rows(30), provider=WAYS[way], limits={"concurrency": 2})
        summary = job.run()
        asked = len(service.seen)
    assert ended(summary) == (4, "account", 0, 0, 30)
    assert asked <= 2
    assert FAKE_KEY not in str(summary)
    assert found(job, "select distinct fault, code from attempts") == [{"fault": "account", "code": code}]
    if kind == "model-gone":
        assert "check provider.model" in str(summary.message)


@pytest.mark.parametrize("limits", [{"concurrency": 16}, {}], ids=["named", "found"])
def test_a_wrong_key_costs_a_handful_of_requests_and_the_right_one_completes_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, int]
) -> None:
    with serving(ServiceOptions(wrong_keys=frozenset({"sk-mistyped"}), latency_ms=50)) as service:
        job = Client(tmp_path, service.url).job(rows(300), provider=COMPATIBLE, limits=limits)
        monkeypatch.setenv(KEY_NAME, "sk-mistyped")
        told = {**COMPATIBLE, "base_url": f"{service.url}/compatible-mode/v1", "api_key_env": KEY_NAME}
        sets = [f"--set=provider.{name}={value}" for name, value in told.items()]
        sets += [f"--set=limits.{name}={value}" for name, value in limits.items()]
        command = [sys.executable, "-m", "pipeline", "run", str(job.spec.path), *sets]
        wrong = subprocess.run(command, capture_output=True, text=True, check=False)
        asked = len(service.seen)
        monkeypatch.setenv(KEY_NAME, FAKE_KEY)
        right = job.run()
    assert wrong.returncode == 4
    assert wrong.stderr.count("InvalidApiKey") + wrong.stderr.count("invalid_api_key") <= 1
    assert wrong.stderr.strip().splitlines()[-1].startswith("exit 4")
    assert "sk-mistyped" not in wrong.stdout + wrong.stderr
    assert 1 <= asked <= limits.get("concurrency", 8)
    assert ended(right) == (0, "finished", 300, 0, 0)


def test_a_wrong_key_and_a_retired_model_are_named(tmp_path: Path) -> None:
    options = ServiceOptions(wrong_keys=frozenset({FAKE_KEY}), models_offline=frozenset({"qwen-vl-max"}))
    with serving(options) as service:
        client = Client(tmp_path, service.url)
        wrong = client.job([{"id": "a", "image": CAT, "prompt": "x"}], provider=NATIVE).run()
        assert ended(wrong) == (4, "account", 0, 0, 1)
        assert service.paths() == ["/api/v1/uploads"]
    with serving(ServiceOptions(models_offline=frozenset({"qwen-vl-max"}))) as service:
        provider = {"name": "dashscope", "model": "qwen-vl-max"}
        gone = Client(tmp_path, service.url).job(rows(1), provider=provider).run()
    assert gone.exit_code == 4
    assert "use qwen3-vl-plus" in str(gone.message)


@pytest.mark.parametrize(
    ("kind", "way", "fault", "code", "attempts"),
    [
        ("inspection", "native", "blocked", "DataInspectionFailed", 1),
        ("inspection", "compatible", "blocked", "data_inspection_failed", 1),
        ("inspection", "openai", "blocked", "data_inspection_failed", 1),
        ("429", "native", "throttled", "Throttling.RateQuota", 2),
        ("500", "compatible", "transient", "internal_error", 2),
        ("html", "qianfan", "transient", "Http502", 2),
        ("garbage", "native", "malformed", "Local.Malformed", 2),
        ("garbage", "qianfan", "malformed", "Local.Malformed", 2),
        ("empty", "openai", "malformed", "Local.Malformed", 2),
        ("cut", "native", "transient", "Local.StreamCut", 2),
        ("stream-error", "native", "throttled", "Throttling.RateQuota", 2),
        ("stream-error", "compatible", "throttled", "limit_requests", 2),
        ("stream-error", "qianfan", "throttled", "rpm_rate_limit_exceeded", 2),
        ("drop", "openai", "transient", "Local.Disconnected", 2),
        ("hang", "native", "transient", "Local.ReadTimeout", 2),
    ],
)
def test_what_does_not_pass_is_a_failure_with_its_fault_and_code(
    tmp_path: Path, kind: str, way: str, fault: str, code: str, attempts: int
) -> None:
    with serving(ServiceOptions(fail=((kind, 1.0),))) as service:
        job = Client(tmp_path, service.url).job(
            rows(1),
            provider={**WAYS[way], "stream": kind in ("stream-error", "cut")},
            retry={"attempts": 2},
            timeouts={"read": 0.3},
        )
        summary = job.run()
    assert ended(summary) == (1, "finished", 0, 1, 0), summary
    (row,) = failures(job)
    assert (row["fault"], row["code"], row["attempt_count"]) == (fault, code, attempts)
    assert row["message"]
    if kind == "stream-error":
        stated = 429 if way == "native" else 200
        assert row["http_status"] == stated


def test_a_slow_answer_is_an_answer(tmp_path: Path) -> None:
    with serving(ServiceOptions(script=("slow",))) as service:
        summary = Client(tmp_path, service.url).job(rows(1), provider=NATIVE, timeouts={"read": 1.0}).run()
    assert (summary.exit_code, summary.attempts) == (0, 1)


def test_a_server_that_is_not_there_is_a_failure_that_is_sent_again_by_the_next_run(tmp_path: Path) -> None:
    with serving() as service:
        gone = service.url
    provider = {**NATIVE, "base_url": f"{gone}/api/v1"}
    job = Client(tmp_path, gone).job(rows(2), provider=provider, retry={"attempts": 1})
    assert ended(job.run()) == (1, "finished", 0, 2, 0)
    assert {(one["fault"], one["code"]) for one in failures(job)} == {("transient", "Local.ConnectFailed")}
    assert job.run().sent == 2


def test_a_quota_is_found_and_every_row_is_answered(tmp_path: Path) -> None:
    with serving(ServiceOptions(rpm=600)) as service:
        job = Client(tmp_path, service.url).job(rows(25), provider=NATIVE, limits={"rpm": 500})
        summary = job.run()
    assert (summary.exit_code, summary.answered) == (0, 25)
    assert found(job, "select count(*) as n from attempts where fault = 'throttled'") == [{"n": 0}]
