"""The pool over real sockets under faults, and against a quota on a real clock."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping
from typing import Any

from support.fault_server import GOOD, Act, Asked, FaultServer, serving, shares
from support.scripted import SlidingQuota, StatusReader

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.http import open_transport
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.dispatch.transport import Timeouts
from pipeline.errors import Fault
from pipeline.types import Answered, Ending, Failed, HttpRequest, Reply

HEAVY = "PIPELINE_HEAVY_TESTS" in os.environ


class BodyReader(StatusReader):
    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(status, headers)
        self.body = b""

    def feed(self, chunk: bytes) -> None:
        self.body += chunk

    def end(self, *, complete: bool = True) -> Reply:
        reply = super().end(complete=complete)
        if self.body != GOOD:
            raise Fault("malformed", "Test.Malformed", "not the body", retry="yes")
        return reply


async def fan_out(server: FaultServer, rows: int, limits: Limits, policy: Policy) -> tuple[dict[int, Ending], float]:
    endings: dict[int, Ending] = {}

    async def ask(row: int) -> PreparedRequest:
        return PreparedRequest(
            request=HttpRequest(method="POST", url=f"{server.url}/{row}", body=b"{}"), reader=BodyReader
        )

    def done(row: int, ending: Ending) -> None:
        assert row not in endings
        endings[row] = ending

    loop = asyncio.get_running_loop()
    began = loop.time()
    async with open_transport() as transport:
        pool: Pool[int] = Pool(transport=transport, account=Account(limits), policy=policy)
        stopped = await pool.run(iter(range(rows)), ask, done)
    assert stopped.reason == "finished"
    return endings, loop.time() - began


def test_rows_end_with_their_true_reasons_under_mixed_faults() -> None:
    rows = 3000 if HEAVY else 800
    latency = 0.2 if HEAVY else 0.1
    mixed_faults = {
        Act(status=429, latency=latency): 0.05,
        Act(status=500, latency=latency): 0.01,
        Act(status=503, body=b"<html></html>", latency=latency): 0.01,
        Act("cut", latency=latency): 0.01,
        Act("drop", latency=latency): 0.005,
        Act(body=b"{", latency=latency): 0.01,
        Act("hang"): 0.01,
    }
    draw = shares(random.Random(11), mixed_faults, Act(latency=latency))
    spent: list[float] = []

    def script(asked: Asked) -> Act:
        act = Act(status=400, latency=latency) if int(asked.path[1:]) % 100 == 7 else draw(asked)
        spent.append(2.0 if act.kind == "hang" else act.latency)
        return act

    async def main() -> Any:
        async with serving(script) as server:
            result = await fan_out(
                server, rows, Limits(concurrency=64), Policy(timeouts=Timeouts(read=2.0, connect=2.0))
            )
            return server, *result

    server, endings, took = asyncio.run(main())
    assert len(endings) == rows
    permanent = [row for row in range(rows) if row % 100 == 7]
    for row in permanent:
        assert sum(asked.path == f"/{row}" for asked in server.asked) == 1
        ending = endings[row]
        assert isinstance(ending, Failed)
        assert ending.fault.kind == "rejected"
    others = [ending for row, ending in endings.items() if row % 100 != 7]
    assert sum(isinstance(ending, Answered) for ending in others) >= 0.99 * len(others)
    assert server.connections <= 64 + 0.06 * len(server.asked)
    if HEAVY:  # By a real clock: a busy machine is not our slowness. The virtual clock judges it by default.
        assert took <= 1.3 * (sum(spent) / 64 + 2.0)


async def against_a_quota(rows: int) -> tuple[dict[int, Ending], list[tuple[float, bool]]]:
    """Endings, and when each request came (seconds since the first) and whether the quota of 50 a second took it."""
    quota = SlidingQuota(50)
    log: list[tuple[float, bool]] = []

    def script(asked: Asked) -> Act:
        taken = quota.admits(asked.at)
        log.append((asked.at, taken))
        return Act(latency=0.2) if taken else Act(status=429, latency=0.2)

    async with serving(script) as server:
        endings, _ = await fan_out(server, rows, Limits(), Policy(circuit_ratio=2.0))
    return endings, [(at - log[0][0], taken) for at, taken in log]


def test_a_quota_on_a_real_clock_is_no_storm_and_every_row_ends() -> None:
    """The promise itself is judged on the virtual clock, and here for two minutes with PIPELINE_HEAVY_TESTS=1."""
    endings, log = asyncio.run(against_a_quota(300))
    assert len(endings) == 300
    assert all(isinstance(ending, Answered) for ending in endings.values())
    assert max(sum(second <= at < second + 1 and not taken for at, taken in log) for second in range(3, 60)) < 50


if HEAVY:

    def test_a_quota_of_50_a_second_is_found_and_used_for_two_minutes_on_a_real_clock() -> None:
        _, log = asyncio.run(against_a_quota(6000))
        late = [taken for at, taken in log if 10 <= at < 120]
        assert sum(late) >= 0.9 * 50 * 110
        assert sum(not taken for _, taken in log) < 0.02 * len(log)

    def test_a_configured_rate_is_used_to_95_per_cent_with_real_timers() -> None:
        async def main() -> float:
            async with serving(lambda asked: Act(latency=0.05)) as server:
                return (await fan_out(server, 600, Limits(rpm=12_000), Policy()))[1]

        assert asyncio.run(main()) <= 3.0 / 0.95 + 0.1
