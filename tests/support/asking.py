"""Rows of a job as the requests that they become: the real reader, task, loading and encoder. Nothing is sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from support.client import BASES, KEY_NAME
from support.document_samples import LOCAL, Sample, filled
from support.pictures import drawn, encoded

from pipeline.job.load import load
from pipeline.manifest import open_manifest
from pipeline.run.context import JobContext
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.run.make_context import job_context
from pipeline.run.prepare import Preparer
from pipeline.run.record import RecordBuilder
from pipeline.run.row_loading import RowLoader
from pipeline.run.work_item import WorkItem
from pipeline.tasks.quality import Gate
from pipeline.types import Attempt, HttpRequest, Loaded, Row

UPLOADED = "oss://dashscope-instant/xxx/2024-07-18/xxx/"
PICTURE = encoded(drawn(32, 32), "PNG")
DATA_URL = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
FILES = (LOCAL, "图 片.png")
"""The files of the samples: each is PICTURE."""


class NamedUploads:
    """Uploads that only give each file the reference that the documents' upload gives it."""

    async def url(self, media: Loaded, *, renew: bool = False) -> str:
        return f"{UPLOADED}{media.name}"


class Asking:
    """Jobs in `folder`, where the files of the samples lie too. The key is read from the environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in FILES:
            (folder / name).write_bytes(PICTURE)

    def sample(self, sample: Sample, row: dict[str, Any], replies: Sequence[bytes], answer: str) -> list[HttpRequest]:
        """The requests of a row under a sample's job. answer: what stands for the mark `{answer}`."""
        protocol = sample.provider.get("protocol", "native" if sample.provider["name"] == "dashscope" else "openai")
        base = f"https://service.example{BASES[sample.provider['name'], protocol]}"
        provider = {**sample.provider, "api_key_env": KEY_NAME, "base_url": base}
        asked = filled(row, {"{data}": DATA_URL, "{answer}": answer})
        return self.requests(asked, replies, task=sample.task, provider=provider, prompt=sample.prompt)

    def requests(
        self, row: dict[str, Any], replies: Sequence[bytes] = (), *, task: str, **tables: Any
    ) -> list[HttpRequest]:
        """The requests of one row in order: after each of `replies` (bodies of HTTP 200) the question that follows.

        Raises Fault for a row that is refused.
        """
        ready, read = self._ready(row, task, tables)
        return anyio.run(self._asked, ready, read, replies)

    def _ready(self, row: dict[str, Any], task: str, tables: dict[str, Any]) -> tuple[JobContext, Row]:
        manifest, path = self.folder / "rows.jsonl", self.folder / "job.toml"
        manifest.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
        path.write_text(f'task = "{task}"\nmanifest = "rows.jsonl"\noutput = "out"\n', encoding="utf-8")
        ready = job_context(load(path, overrides=tables))
        (read,) = open_manifest(ready.spec.manifest, ready.spec.job).rows()
        return ready, read

    async def _asked(self, ready: JobContext, row: Row, replies: Sequence[bytes]) -> list[HttpRequest]:
        job, root = ready.spec.job, str(self.folder)
        uploads = NamedUploads() if ready.provider.local_files(ready.model, ready.endpoint) == "upload" else None
        gate = Gate(ready.spec.job.quality, ready.dimension, answer=ready.answer)
        preparer = Preparer(ready, RowLoader(ready, Fingerprinter(job, offline=False), root), gate, uploads)
        recorder = RecordBuilder(ready, "run", root, lambda: 0)
        work = WorkItem(row=row)
        prepared = await preparer(work)
        found = [prepared.request]
        for body in replies:
            assert prepared.follow is not None, "the row asks nothing more"
            reader = prepared.reader(200, {})
            reader.feed(body)
            reply = reader.end()
            attempt = Attempt(attempt=1, started_at=0, latency_ms=0, usage=reply.usage)
            work.turns = (*work.turns, recorder.turn(work, reply, attempt))
            prepared = await prepared.follow()
            found.append(prepared.request)
        assert prepared.follow is None, "the row asks more"
        return found
