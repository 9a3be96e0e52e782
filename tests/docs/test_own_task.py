"""A task of another distribution works like a built-in one: its columns, its prompt, its check of a reply."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.counting_server import CountingServer, Told
from support.distribution import beside, distribution

SOURCE = '''
"""tag: a picture in, a list of labels out."""

import json

from pipeline.tasks.conversation import conversation
from pipeline.tasks.prompts import DefaultPrompt
from pipeline.types import TaskColumn, TaskFacts

FACTS = TaskFacts(
    columns=(TaskColumn("tags", "list of text", "Labels."), TaskColumn("said", "text", "The reply.")),
    capability="caption",
    needs_image=False,
)
PROMPT = DefaultPrompt(1, "Give labels for this picture as a JSON list.")


def labels(reply):
    try:
        found = json.loads(reply.text or "")
    except ValueError:
        return None
    return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else None


def ask(row, job):
    return conversation("tag", FACTS, row, job, PROMPT)


def columns(reply, request):
    return {"tags": labels(reply), "said": reply.text}


def check(reply, request):
    if labels(reply) is None:
        return "NoLabels", "the answer is no list of labels"
'''
JOB = """
task = "tag"
manifest = "rows.jsonl"
output = "out"
[provider]
name = "openai"
model = "m"
base_url = "{url}"
"""


@pytest.fixture
def folder(tmp_path: Path, server: CountingServer) -> Path:
    server.script = lambda asked, n: Told(text=asked.prompt)
    distribution(tmp_path, "labels", {"labels.py": SOURCE}, {"pipeline.tasks": {"tag": "labels"}})
    rows = [{"id": "a", "prompt": '["cat","mat"]'}, {"id": "b", "prompt": "no list"}, {"id": "c", "prompt": "[]"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "job.toml").write_text(JOB.format(url=f"http://127.0.0.1:{server.port}/v1"))
    return tmp_path


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**beside(folder), "OPENAI_API_KEY": "sk-fake"}
    line = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def rows(folder: Path, sql: str) -> list[dict[str, Any]]:
    done = command(folder, "query", "job.toml", sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_its_columns_are_in_the_results_and_its_check_holds_answers_back(folder):
    done = command(folder, "run", "job.toml", "--quiet")
    assert done.returncode == 1, done.stderr
    assert rows(folder, "select id, tags from results order by id") == [
        {"id": "a", "tags": ["cat", "mat"]},
        {"id": "c", "tags": []},
    ]
    failed = rows(folder, "select id, fault, code, message from failures")
    assert failed == [
        {"id": "b", "fault": "suspect", "code": "Local.NoLabels", "message": "the answer is no list of labels"}
    ]


def test_every_command_takes_its_output(folder):
    command(folder, "run", "job.toml", "--quiet")
    assert "2 done" in command(folder, "status", "job.toml").stdout
    assert "1 row" in command(folder, "reprocess", "job.toml", "--where", "fault = 'suspect'", "--dry-run").stderr
    assert command(folder, "accept", "job.toml").returncode == 0
    assert rows(folder, "select id, tags, said from results where id = 'b'") == [
        {"id": "b", "tags": None, "said": "no list"}
    ]
    assert command(folder, "compact", "job.toml").returncode == 0
    for ending in ("csv", "parquet", "jsonl"):
        done = command(folder, "export", "job.toml", f"all.{ending}")
        assert done.returncode == 0, done.stderr
    assert pq.read_table(folder / "all.parquet", columns=["tags"]).column("tags").type == pa.list_(pa.string())
    views = duckdb.connect()
    views.execute((folder / "out" / "catalog.sql").read_text())
    assert views.sql("select count(*) from results").fetchall() == [(3,)]
    assert "nothing to send" in command(folder, "run", "job.toml", "--quiet").stderr


def test_an_unknown_task_names_those_that_are_there(folder):
    (folder / "job.toml").write_text((folder / "job.toml").read_text().replace('"tag"', '"tagg"'))
    done = command(folder, "run", "job.toml")
    assert done.returncode == 2
    assert 'task: found "tagg", expected one of caption, ocr, embed, ask, tag; did you mean "tag"?' in done.stderr


VECTORS = """
from pipeline.types import TaskColumn, TaskFacts
FACTS = TaskFacts(columns=(TaskColumn("codes", "vector", "Codes."),), capability="embed")
ask = columns = None
"""


@pytest.mark.parametrize(
    ("source", "why"),
    [("1 / 0", "ZeroDivisionError"), ("FACTS = 1", "which lacks ask, columns")],
)
def test_a_task_that_cannot_be_used_names_its_distribution(folder, source, why):
    (folder / "labels.py").write_text(source)
    done = command(folder, "run", "job.toml")
    assert done.returncode == 2
    assert "labels 1.2" in done.stderr
    assert why in done.stderr


def test_a_column_of_vectors_has_the_name_that_readers_know(folder):
    (folder / "labels.py").write_text(VECTORS)
    done = command(folder, "run", "job.toml")
    assert done.returncode == 2
    assert "a column of vectors, and no other, is called embedding; rename codes" in done.stderr
