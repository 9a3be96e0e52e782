"""A job against the counting server, in a folder of its own, and what its output holds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from support.counting_server import CountingServer, answer_to

from pipeline.api import Job
from pipeline.store.journal import replay, segments
from pipeline.store.parts import all_parts, live_parts

PROMPT = "Say [{id}] {topic}"


class CountedJob:
    """`folder` holds job.toml, rows.jsonl and out. A row is an id and a topic."""

    def __init__(self, folder: Path, server: CountingServer, *, output: Path | None = None) -> None:
        self.folder = folder
        self.path = folder / "job.toml"
        self.manifest = folder / "rows.jsonl"
        self.output = output or folder / "out"
        self._server = server
        self.write()

    def write(self, *, model: str = "m1", prompt: str = PROMPT, concurrency: int = 8, more: str = "") -> None:
        self.path.write_text(
            f"task = 'ask'\nmanifest = 'rows.jsonl'\noutput = '{self.output}'\n"
            f"[provider]\nname = 'openai'\nmodel = '{model}'\nbase_url = '{self._server.base_url}'\n"
            f"[prompt]\ntext = '{prompt}'\n[limits]\nconcurrency = {concurrency}\n{more}"
        )

    def rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self.manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def numbered(self, count: int) -> list[str]:
        """`count` rows r0, r1 …; returns their ids."""
        self.rows({"id": f"r{number}", "topic": f"topic {number}"} for number in range(count))
        return [f"r{number}" for number in range(count)]

    def job(self, **overrides: Any) -> Job:
        return Job.load(self.path, overrides)

    def sql(self, sql: str) -> list[tuple[Any, ...]]:
        with self.job().connect() as connection:
            return connection.sql(sql).fetchall()

    def on_disk(self) -> list[str]:
        """The ids of all outcomes that are kept, in parts or still in the journal; one twice is there twice."""
        import pyarrow.parquet as pq

        found: dict[int, str] = {}
        for dataset in ("results", "failures"):
            for part in live_parts(all_parts(self.output / dataset)):
                table = pq.read_table(part.path, columns=["seq", "id"])
                found.update(zip(table["seq"].to_pylist(), table["id"].to_pylist(), strict=True))
        for path in segments(self.output / "journal"):
            found.update({entry.seq: entry.record.id for entry in replay(path) if hasattr(entry.record, "columns")})
        return list(found.values())

    def expected(self, id_: str, model: str = "m1") -> str:
        return answer_to(model, f"Say [{id_}] topic {id_[1:]}")
