"""A row that is over leaves nothing behind that only the cyclic collector could free: pictures would pile up."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.counted_job import CountedJob
from support.counting_server import CountingServer
from support.fault_server import Act, Asked, serving
from support.scripted import StatusReader

from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.http import open_transport
from pipeline.dispatch.memory import relaxed_gc
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.dispatch.transport import Timeouts
from pipeline.providers.body import all_media
from pipeline.run.prepare import Preparer
from pipeline.run.work_item import WorkItem
from pipeline.types import HttpRequest, Loaded

ROWS = 4
PHOTO = Path(__file__).parents[2] / "sample_data/photos/chelsea.jpg"


class Picture(bytes):
    """A request's body that tells when it is gone."""

    alive = 0

    def __init__(self, *_: object) -> None:
        Picture.alive += 1

    def __del__(self) -> None:
        Picture.alive -= 1


@pytest.mark.parametrize(
    ("act", "attempts"),
    [
        (Act(), 1),
        (Act(status=400), 1),
        (Act(status=500), 1),
        (Act(status=500), 2),
        (Act("cut"), 2),
        (Act("drop"), 1),
        (Act("hang"), 1),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Act) else str(value),
)
def test_no_request_outlives_its_row(act: Act, attempts: int) -> None:
    asked_before: set[str] = set()

    def script(asked: Asked) -> Act:
        if asked.path in asked_before:
            return Act()
        asked_before.add(asked.path)
        return act

    async def main() -> int:
        async with serving(script) as server, open_transport() as transport:

            async def ask(row: int) -> PreparedRequest:
                body = Picture(b"x" * 50_000)
                return PreparedRequest(
                    request=HttpRequest(method="POST", url=f"{server.url}/{row}", body=body), reader=StatusReader
                )

            policy = Policy(circuit_ratio=2.0, attempts=attempts, timeouts=Timeouts(read=0.1))
            pool: Pool[int] = Pool(transport=transport, account=Account(Limits(concurrency=8)), policy=policy)
            gc.collect()
            gc.disable()
            try:
                await pool.run(iter(range(ROWS)), ask, lambda row, ending: None)
                await anyio.sleep(0.01)
                return Picture.alive
            finally:
                gc.enable()

    Picture.alive = 0
    assert asyncio.run(main()) == 0
    assert len(asked_before) == ROWS


def test_what_is_kept_of_a_row_on_its_way_holds_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake")
    kept: list[WorkItem] = []
    real = Preparer.__call__

    async def watched(self: Preparer, work: WorkItem) -> PreparedRequest | None:
        prepared = await real(self, work)
        kept.append(work)
        return prepared

    monkeypatch.setattr(Preparer, "__call__", watched)
    with CountingServer() as server:
        job = CountedJob(tmp_path, server)
        job.rows([{"id": "a", "topic": "t", "image": str(PHOTO)}])
        assert job.job().run().answered == 1
    (work,) = kept
    assert work.request is not None
    held = [*work.loaded, *all_media(work.request)]
    assert [isinstance(media, Loaded) and media.width for media in held] == [451, 451]
    assert [isinstance(media, Loaded) and media.body for media in held] == [None, None]


def test_the_collector_is_as_it_was_after_the_last_run() -> None:
    before = gc.get_threshold()
    seen: list[Any] = []
    with relaxed_gc():
        with relaxed_gc():
            seen.append(gc.get_threshold())
        seen.append(gc.get_threshold())
    assert seen[0] == seen[1] != before
    assert gc.get_threshold() == before
    gc.set_threshold(0, *before[1:])
    try:
        with relaxed_gc():
            assert gc.get_threshold()[0] == 0
        assert gc.get_threshold()[0] == 0
    finally:
        gc.set_threshold(*before)
