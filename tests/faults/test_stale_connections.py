"""A kept connection that the server has closed: the request goes again at once, and every trip is counted."""

from __future__ import annotations

import asyncio
from typing import Any

from support.fault_server import Act, Asked, serving
from support.scripted import StatusReader

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.http import open_transport
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.types import Answered, Attempt, Ending, HttpRequest


def run(dropped: range, rows: int, attempts: int) -> Any:
    """Endings, attempts as they were told, the server and the counters, after drops of the requests so numbered."""
    endings: dict[int, Ending] = {}
    told: list[Attempt] = []

    async def ask(row: int) -> PreparedRequest:
        return PreparedRequest(
            request=HttpRequest(method="POST", url=f"{url[0]}/{row}", body=b"{}"), reader=StatusReader
        )

    url: list[str] = []
    count = [0]

    def script(asked: Asked) -> Act:
        count[0] += 1
        return Act("drop" if count[0] in dropped else "answer")

    async def main() -> Any:
        async with serving(script) as server, open_transport() as transport:
            url.append(server.url)
            pool: Pool[int] = Pool(
                transport=transport,
                account=Account(Limits(concurrency=4)),
                policy=Policy(attempts=attempts),
                on_attempt=lambda row, attempt: told.append(attempt),
            )
            await pool.run(iter(range(rows)), ask, endings.__setitem__)
            pool.gauges()
            return server, pool.counters

    server, counters = asyncio.run(main())
    return endings, told, server, counters


def test_every_trip_that_the_server_saw_is_an_attempt() -> None:
    endings, told, server, counters = run(range(10, 60, 10), 60, attempts=6)
    assert len(server.asked) == 65
    assert counters.attempts == 65
    assert sum(len(ending.attempts) for ending in endings.values()) == 65
    assert [attempt.code for attempt in told] == ["Local.StaleConnection"] * 5
    assert counters.unknown_cost_attempts == 60, "what was sent on a closed connection costs nothing"


def test_a_closed_connection_takes_none_of_a_rows_attempts() -> None:
    endings, _, server, _ = run(range(10, 60, 10), 60, attempts=1)
    assert all(isinstance(ending, Answered) for ending in endings.values())
    assert len(server.asked) == 65


def test_closed_connections_are_no_outage() -> None:
    _, _, _, counters = run(range(5, 9), 60, attempts=6)
    assert counters.cooldowns == 0
