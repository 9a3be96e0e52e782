"""Chance faults over real sockets; how long they take is judged with PIPELINE_HEAVY_TESTS=1 alone."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

import pytest
from support.fault_server import Act, Asked, serving
from support.scripted import StatusReader

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.http import open_transport
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.types import Answered, Ending, Failed, HttpRequest

HEAVY = "PIPELINE_HEAVY_TESTS" in os.environ


def run(script: Any, rows: int, limits: Limits | None = None) -> tuple[dict[int, Ending], float]:
    endings: dict[int, Ending] = {}

    async def main() -> float:
        async with serving(script) as server, open_transport() as transport:

            async def ask(row: int) -> PreparedRequest:
                request = HttpRequest(method="POST", url=f"{server.url}/{row}", body=b"{}")
                return PreparedRequest(request=request, reader=StatusReader)

            began = time.monotonic()
            pool: Pool[int] = Pool(transport=transport, account=Account(limits or Limits()), policy=Policy())
            await pool.run(iter(range(rows)), ask, endings.__setitem__)
            return time.monotonic() - began

    return endings, asyncio.run(main())


def test_rows_that_are_always_cut_end_soon() -> None:
    """6 of 60, over real sockets: each has its six attempts within seconds."""

    def script(asked: Asked) -> Act:
        return Act("cut" if int(asked.path[1:]) % 10 == 3 else "answer")

    endings, took = run(script, 60)
    assert sum(isinstance(ending, Failed) for ending in endings.values()) == 6
    assert all(len(ending.attempts) == 6 for ending in endings.values() if isinstance(ending, Failed))
    assert took <= 60.0, "on any machine; nobody waits for a budget or an outage"


if HEAVY:

    @pytest.mark.parametrize("kind", ["429 with a wait", "503 with a wait", "dropped", "500"])
    @pytest.mark.parametrize("share", [0.05, 0.1])
    def test_chance_faults_cost_at_most_three_times_the_time(kind: str, share: float) -> None:
        seconds = 1.0 if "wait" in kind else 2.0
        bad = {
            "429 with a wait": Act(status=429, headers=(("retry-after", "1"),), latency=seconds),
            "503 with a wait": Act(status=503, headers=(("retry-after", "1"),), latency=seconds),
            "dropped": Act("drop", latency=seconds),
            "500": Act(status=500, latency=seconds),
        }[kind]

        def timed(part: float) -> float:
            rng = random.Random(1)
            endings, took = run(lambda asked: bad if rng.random() < part else Act(latency=seconds), 300)
            assert all(isinstance(ending, Answered) for ending in endings.values())
            return took

        free, slow = timed(0.0), timed(share)
        print(f"\n{kind}, {share:.0%}: {slow:.1f} s, without {free:.1f} s")
        most = 10 if "wait" in kind else 3  # after a refusal, the rate that is found decides, and not the waits
        assert slow <= most * free
