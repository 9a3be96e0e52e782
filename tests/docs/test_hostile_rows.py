"""Rows with hostile columns through a whole run: answered, failed, sent again, accepted, read and exported."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.counted_job import CountedJob
from support.counting_server import CountingServer, Told

from pipeline.store.datasets import DATASETS, schema

OURS = {name for dataset in DATASETS for name in schema(dataset, "ask").names} - {"id"}
NAMES = [*sorted(OURS), "ID", "Id", "part_", "answers_", "stamp_", "rows_", "dt", "embedding", "other_columns",
         "", " ", "a\0b", "a\nb", 'a"b', "'; drop view results; --", "{topic}",
         "{columns}", "\x1b", "x" * 10_000]  # fmt: skip
VALUES: list[Any] = [
    10**30,
    2**63,
    1e308,
    [1, {"a": [None]}],
    {"k": 10**30},
    "\0",
    "\x1b[2J",
    "=1+1",
    "é" * 500_000,
    True,
]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedJob]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-counting-fake")
    (tmp_path / "dt=2026" / "id=1").mkdir(parents=True)
    with CountingServer() as server:
        server.script = lambda asked, n: Told(finish="length") if "cut" in asked.prompt else Told(text="fine")
        made = CountedJob(tmp_path / "dt=2026" / "id=1", server)
        made.write(prompt="Say {topic}")
        yield made


def hostile(topic: str, shift: int = 0) -> dict[str, Any]:
    columns = {name: VALUES[(place + shift) % len(VALUES)] for place, name in enumerate(NAMES)}
    return {**columns, "topic": topic, "plain": f"{topic} {shift}"}


@pytest.mark.parametrize("source", ["jsonl", "python"])
def test_a_run_over_hostile_rows_loses_and_mixes_nothing(job: CountedJob, pipeline, source: str) -> None:
    rows = [{"id": f"r{n}", **hostile("cut" if n % 2 else f"n{n}", n)} for n in range(6)]
    if source == "python":
        strange = {"\ud800": "\ud83d", 7: 1, "loop": {"a": {"b": ["\ud83d"]}}}
        rows = [{**row, **strange} for row in rows]  # type: ignore[dict-item]
        summary = job.job().run(manifest=rows)
    else:
        job.rows(rows)
        summary = job.job().run()
    assert (summary.answered, summary.failed, summary.exit_code) == (3, 3, 1)
    wanted = [(f"r{n}", f"cut {n}" if n % 2 else f"n{n} {n}") for n in range(6)]
    assert job.sql("select id, plain from results order by id") == wanted[::2]
    assert job.sql("select id, plain from failures order by id") == wanted[1::2]
    for command, *options in (
        ("status",),
        ("query", "select * from results"),
        ("query", "select * from failures"),
        ("compact", "--drop-superseded"),
        ("accept",),
    ):
        ran = pipeline(command, job.path, *options)
        assert ran.code == 0, ran.err
    assert job.sql("select id, plain from results order by id") == wanted
    for ending in ("csv", "jsonl", "parquet"):
        assert pipeline("export", job.path, job.folder / f"all.{ending}").code == 0
    csv.field_size_limit(10**8)
    with (job.folder / "all.csv").open(newline="") as file:
        assert sorted((row["id"], row["plain"]) for row in csv.DictReader(file)) == wanted
    told = [json.loads(line) for line in (job.folder / "all.jsonl").read_bytes().splitlines()]
    assert sorted((row["id"], row["plain"]) for row in told) == wanted
    again = job.job().run(manifest=rows) if source == "python" else job.job().run()
    assert (again.sent, again.exit_code) == (0, 0)
