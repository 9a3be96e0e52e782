"""Our two clients of bench_dispatch: the fan-out alone, and the whole run."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from pipeline import Job
from pipeline.dispatch.account import Account, Limits
from pipeline.dispatch.http import open_transport
from pipeline.dispatch.pool import Pool
from pipeline.dispatch.prepared_request import Policy, PreparedRequest
from pipeline.providers import openai
from pipeline.providers.models import find
from pipeline.store import AnswerRecord, AttemptRecord, Store
from pipeline.types import Answered, EmbedItem, Ending, Endpoint, Image, Loaded, Request, Secret, Text, Turn

JOB = """
task = "{task}"
manifest = "manifest.jsonl"
output = "out"
provider = {{ name = "openai", model = "m", base_url = "{base}/v1" }}
limits = {{ concurrency = {concurrency} }}
quality = {{ identical = false }}
"""

FILES = 200
"""Picture files that a whole run reads again and again: enough that none is in the processor's caches."""


class Stopwatch:
    """CPU seconds of the process and seconds, from its making to `stop`."""

    def __init__(self) -> None:
        self._from = time.process_time(), time.perf_counter()
        self.cpu = self.wall = 0.0

    def stop(self) -> None:
        self.cpu, self.wall = time.process_time() - self._from[0], time.perf_counter() - self._from[1]


async def fan_out(base: str, kind: str, rows: int, concurrency: int, prompt: str, picture: bytes) -> Stopwatch:
    """Pool, limiter and journal under the real encoder and decoder; pictures are in memory already."""
    model = find("openai", "m", {}, {})
    endpoint = Endpoint(provider="openai", base_url=base, key=Secret("x"))
    media = Loaded(kind="image", source="p.jpg", body=picture, mime="image/jpeg")

    async def ask(row: int) -> PreparedRequest:
        if kind == "embedding":
            request = Request(task="embed", model="m", items=(EmbedItem(part=Text(prompt)),))
        else:
            parts = (Image(media), Text(prompt)) if kind == "picture" else (Text(prompt),)
            request = Request(task="caption", model="m", turns=(Turn(role="user", parts=parts),))
        return PreparedRequest(
            request=openai.encode(request, model, endpoint),
            reader=lambda status, headers: openai.reader(request, model, status, headers),
        )

    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder), "embed" if kind == "embedding" else "caption", run_id="r", dimension=1536)

        def done(row: int, ending: Ending) -> None:
            assert isinstance(ending, Answered), ending
            trip, usage = ending.attempts[-1], ending.reply.usage
            told: Any = {"id": str(row), "fingerprint": "0" * 64, "run_id": "r", "latency_ms": trip.latency_ms}
            told |= {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
            own = {"embedding": ending.reply.embedding} if kind == "embedding" else {"caption": ending.reply.text}
            answer = AnswerRecord(
                provider="openai", model="m", attempt_count=1, finished_at=time.time_ns() // 1000, own=own, **told
            )
            store.answer(answer, AttemptRecord(attempt=1, started_at=trip.started_at, **told))

        watch = Stopwatch()
        async with open_transport() as transport:
            account = Account(Limits(concurrency=concurrency))
            pool: Pool[int] = Pool(transport=transport, account=account, policy=Policy())
            await pool.run(iter(range(rows)), ask, done)
        watch.stop()
        return watch


async def whole(base: str, kind: str, rows: int, concurrency: int, prompt: str, picture: bytes) -> Stopwatch:
    """`pipeline run` from the manifest to sealed Parquet, start-up and end included; pictures are files."""
    os.environ["OPENAI_API_KEY"] = "sk-fake"
    with tempfile.TemporaryDirectory() as folder:
        job = written(Path(folder), base, kind, rows, concurrency, prompt, picture)
        watch = Stopwatch()
        summary = await Job.load(job).arun()
        watch.stop()
        assert summary.answered == rows, summary
    return watch


def written(folder: Path, base: str, kind: str, rows: int, concurrency: int, prompt: str, picture: bytes) -> Path:
    """A job file with its manifest and pictures."""
    for number in range(FILES if kind == "picture" else 0):
        (folder / f"{number}.jpg").write_bytes(picture[:-2] + number.to_bytes(2, "big") + picture[-2:])
    with (folder / "manifest.jsonl").open("wb") as manifest:
        for row in range(rows):
            manifest.write(msgspec.json.encode({"id": str(row), **fields(kind, row, prompt)}) + b"\n")
    task = {"prompt": "ask", "embedding": "embed"}.get(kind, "caption")
    text = f"[prompt]\ntext = {json.dumps(prompt)}\n" if task == "caption" else ""
    path = folder / "job.toml"
    path.write_text(JOB.format(task=task, base=base, concurrency=concurrency) + text)
    return path


def fields(kind: str, row: int, prompt: str) -> dict[str, str]:
    """What a row asks, under the manifest's names; no two rows ask the same."""
    prompt = f"{row} {prompt}"
    if kind == "picture":
        return {"image": f"{row % FILES}.jpg", "prompt": prompt}
    if kind == "url":
        return {"image": f"https://example.com/{row}.jpg"}
    return {"text" if kind == "embedding" else "prompt": prompt}
