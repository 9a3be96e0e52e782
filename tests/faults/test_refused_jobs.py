"""A job that the service refuses row after row stops after a handful of requests, and runs whole once it is mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.client import FAKE_KEY, KEY_NAME, Client, Seen, ended, failures, found, serving

OPENAI = {"name": "openai", "model": "any/model"}
ROWS = [{"id": f"{number:03}", "prompt": f"Hello {number}"} for number in range(200)]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


class Gateway:
    """Refuses every chat with this error until it is mended."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        self.status = status
        self.body = json.dumps(error).encode()
        self.mended = False

    def __call__(self, seen: Seen) -> tuple[int, bytes] | None:
        return None if self.mended or not seen.path.endswith("/chat/completions") else (self.status, self.body)


def litellm(message: str, kind: str = "None", code: str = "400") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": "None", "code": code}}


KNOWN = {
    "budget": (400, litellm("Budget has been exceeded! Current cost: 2.0, Max budget: 1.0", "budget_exceeded")),
    "model": (400, litellm("{'error': '/chat/completions: Invalid model name passed in model=any/model. Call ...'}")),
    "database": (400, litellm("No connected db.", "no_db_connection")),
    "pinned": (400, {"detail": "Server is pinned to 'Qwen/Qwen2.5-VL-3B-Instruct'; requested 'any/model'."}),
    "under 200": (200, {"error": {"message": "Invalid credentials", "code": 401}}),
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_to_be_the_accounts_stops_at_once(tmp_path: Path, name: str) -> None:
    gateway = Gateway(*KNOWN[name])
    with serving(instead=gateway) as service:
        job = Client(tmp_path, service.url).job(ROWS, provider=OPENAI, limits={"concurrency": 4})
        assert ended(job.run()) == (4, "account", 0, 0, len(ROWS))
        assert len(service.seen) <= 4
        gateway.mended = True
        assert ended(job.run()) == (0, "finished", len(ROWS), 0, 0)


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_whatever_the_words_the_run_stops_and_leaves_the_rows(tmp_path: Path, status: int) -> None:
    gateway = Gateway(status, {"error": {"message": "the flux capacitor is not fluxing", "type": "odd"}})
    with serving(instead=gateway) as service:
        job = Client(tmp_path, service.url).job(ROWS, provider=OPENAI, limits={"concurrency": 4})
        stopped = job.run()
        assert ended(stopped) == (4, "circuit", 0, 0, len(ROWS))
        assert 20 <= len(service.seen) <= 24
        assert "the flux capacitor is not fluxing" in str(stopped.message)
        assert failures(job) == []
        assert found(job, "select distinct fault from attempts") == [{"fault": "rejected"}]
        gateway.mended = True
        assert ended(job.run()) == (0, "finished", len(ROWS), 0, 0)
        assert found(job, "select count(*) as n from results") == [{"n": len(ROWS)}]


def test_who_wants_it_sends_all_the_same(tmp_path: Path) -> None:
    gateway = Gateway(400, {"error": {"message": "no", "type": "odd"}})
    circuit = {"refusals": 0, "min_calls": 1000}
    with serving(instead=gateway) as service:
        job = Client(tmp_path, service.url).job(ROWS, provider=OPENAI, circuit=circuit)
        assert ended(job.run()) == (1, "finished", 0, len(ROWS), 0)


def test_rows_that_share_a_refused_question_all_end(tmp_path: Path) -> None:
    """More rows than may wait for the outcome of another: nobody waits for a row whose refusal is held back."""
    gateway = Gateway(400, {"error": {"message": "no", "type": "odd"}})
    rows = [{"id": f"{number:04}", "prompt": f"Hello {number % 3}"} for number in range(3_000)]
    with serving(instead=gateway) as service:
        job = Client(tmp_path, service.url).job(rows, provider=OPENAI)
        assert ended(job.run(progress=False)) == (1, "finished", 0, len(rows), 0)
        assert len(service.seen) == 3


def test_a_few_rows_that_are_all_refused_are_failures(tmp_path: Path) -> None:
    gateway = Gateway(400, {"error": {"message": "no", "type": "odd"}})
    with serving(instead=gateway) as service:
        job = Client(tmp_path, service.url).job(ROWS[:19], provider=OPENAI)
        assert ended(job.run()) == (1, "finished", 0, 19, 0)
        assert len(failures(job)) == 19
        assert ended(job.reprocess("true"))[:2] == (1, "finished")
