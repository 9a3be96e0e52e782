"""Whole runs of the command against a server that puts anything around its answers: each is kept, none bought twice."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from support.answers import Case, Form, case
from support.client import FAKE_KEY, KEY_NAME, Client, failures, found
from support.fault_server import Act, Asked, FaultServer, serving

ROWS = 300 if "PIPELINE_HEAVY_TESTS" in os.environ else 40
JOBS: list[tuple[str, Form]] = [
    ("dashscope", "native"),
    ("dashscope", "cumulative"),
    ("openai", "chat"),
    ("qianfan", "chat"),
]
UNCHECKED = {"empty": False, "repeated": False, "thinking": False, "truncated": False}


@contextmanager
def serving_beside(server_of: dict[int, Act]) -> Iterator[tuple[FaultServer, Counter[int]]]:
    """The fault server in a thread of its own: row → what happens."""
    asked: Counter[int] = Counter()

    def script(request: Asked) -> Act:
        return Act()

    def act(request: Asked) -> Act:
        row = int(re.findall(rb"row-(\d+)", request.body)[-1])
        asked[row] += 1
        return server_of[row]

    loop = asyncio.new_event_loop()
    ready, over = threading.Event(), asyncio.Event()
    held: list[FaultServer] = []

    async def main() -> None:
        async with serving(script) as server:
            server.answer = act
            held.append(server)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield held[0], asked
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()


def cases(provider: str, form: Form, count: int) -> list[Case]:
    """Cases of one job: one service, one form."""
    found: list[Case] = []
    seed = 0
    while len(found) < count:
        seed += 1
        one = case(Random(seed))
        if one.provider == provider and one.form == form and one.text and one.text.strip():
            found.append(one)
    return found


@pytest.mark.parametrize(("provider", "form"), JOBS)
def test_every_answer_is_kept_and_bought_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str, form: Form
) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    rng = Random(7)
    known = cases(provider, form, ROWS)
    acts = {row: Act(rng.choice(["answer", "closed", "wrong_length"]), body=one.body) for row, one in enumerate(known)}
    rows = [{"id": f"{row:04}", "prompt": f"row-{row}"} for row in range(ROWS)]
    parameters = {} if form == "chat" else {"incremental_output": form == "native"}
    with serving_beside(acts) as (server, asked):
        told = {"name": provider, "model": "any-model", "stream": True, "parameters": parameters}
        job = Client(tmp_path, server.url).job(rows, provider=told, quality=UNCHECKED)
        settings = {**told, "base_url": job.spec.job.provider.base_url, "api_key_env": KEY_NAME}
        sets = [
            f"--set=provider.{name}={json.dumps(value)}" for name, value in settings.items() if name != "parameters"
        ]
        sets += [f"--set=provider.parameters.{name}={json.dumps(value)}" for name, value in parameters.items()]
        sets += [f"--set=quality.{name}=false" for name in UNCHECKED]
        command = [sys.executable, "-m", "pipeline", "run", str(job.spec.path), *sets]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, (ran.stderr[-2_000:], failures(job)[:3])
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert again.returncode == 0
    answers = found(job, "select id, answer from results order by id")
    assert [one["answer"] for one in answers] == [one.text for one in known]
    assert asked == Counter(range(ROWS))
