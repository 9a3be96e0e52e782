"""A run over archives that is killed in the middle goes on where it was, and asks each member once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.archives import archived
from support.commands import ChildProcesses
from support.counting_server import CountingServer, Told
from support.killed_run import killed_half_way
from support.pictures import drawn, encoded

from pipeline.api import Job

PER_SHARD, SHARDS = 40, 3


def shards(folder: Path, ending: str) -> list[str]:
    """Shards of distinct pictures, each with its words; returns the ids."""
    picture = encoded(drawn(16, 16))
    found = []
    for shard in range(SHARDS):
        name, members = f"{shard:05}.{ending}", []
        for number in range(PER_SHARD):
            key = f"{shard:02}{number:03}"
            members += [(f"{key}.jpg", picture + key.encode()), (f"{key}.json", json.dumps({"topic": key}).encode())]
            found.append(f"{name}#{key}.jpg")
        archived(folder / "shards" / name, members)
    return found


def job_at(folder: Path, server: CountingServer) -> Path:
    path = folder / "job.toml"
    path.write_text(
        "task = 'ask'\nmanifest = 'shards'\noutput = 'out'\n"
        f"[provider]\nname = 'openai'\nmodel = 'm'\nbase_url = '{server.base_url}'\n"
        "[prompt]\ntext = 'Say [{topic}]'\n[limits]\nconcurrency = 4\n"
    )
    return path


@pytest.mark.parametrize("ending", ["tar", "zip"])
def test_a_killed_run_over_archives_resumes(child_processes: ChildProcesses, tmp_path: Path, ending: str) -> None:
    ids = shards(tmp_path, ending)
    with CountingServer(script=lambda asked, n: Told(seconds=0.01)) as server:
        path = job_at(tmp_path, server)
        assert killed_half_way(child_processes, server, path, len(ids), 4) == 1
        with Job.load(path).connect() as connection:
            found = connection.sql("select id, answer, source[1], topic from results").fetchall()
    assert sorted(row[0] for row in found) == sorted(ids)
    assert all(row[1] == f"m says of Say [{row[3]}]" for row in found)
    assert all(row[2] == str(tmp_path / "shards" / row[0]) for row in found)
