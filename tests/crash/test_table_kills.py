"""A run over any kind of table that is killed in the middle goes on where it was, and asks each row once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.commands import ChildProcesses
from support.counting_server import CountingServer, Told
from support.killed_run import killed_half_way
from support.pictures import drawn, encoded

from pipeline.api import Job

COUNT = 60
CONCURRENCY = 4
IDS = [f"r{number:03}" for number in range(COUNT)]
ROWS = [{"id": id_, "topic": f"图片 {id_}"} for id_ in IDS]
URLS = [f"http://127.0.0.1:9/{number}.jpg" for number in range(COUNT)]
PICTURE = encoded(drawn(16, 16))


def as_csv(delimiter: str) -> str:
    lines = (f'{row["id"]}{delimiter}"{row["topic"]}"' for row in ROWS)
    return f"id{delimiter}topic\n" + "\n".join(lines)


def text(name: str, content: str, encoding: str = "utf-8") -> Callable[[Path], str]:
    def write(folder: Path) -> str:
        (folder / name).write_bytes(content.encode(encoding))
        if encoding in ("utf-8", "utf-16"):
            return f"manifest = '{name}'\n"
        return f"[manifest]\npath = '{name}'\nencoding = '{encoding}'\n"

    return write


def packed(folder: Path) -> str:
    (folder / "m.csv.gz").write_bytes(gzip.compress(as_csv(",").encode()))
    return "manifest = 'm.csv.gz'\n"


def shards(folder: Path) -> str:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (folder / "shards").mkdir()
    for shard in (0, 1):
        rows = ROWS[shard::2]
        pictures = [{"bytes": PICTURE + row["id"].encode(), "path": row["id"]} for row in rows]
        table = pa.table({"image": pa.array(pictures, kind), "topic": [row["topic"] for row in rows]})
        pq.write_table(table, folder / f"shards/{shard}.parquet", row_group_size=7)
    return "manifest = 'shards'\n"


def query(folder: Path) -> str:
    duckdb.sql(
        f"copy (select i, 'r' || lpad(i::varchar, 3, '0') as id from range({COUNT}) t(i)) to '{folder}/n.parquet'"
    )
    (folder / "topics.csv").write_text(as_csv(","))
    return "manifest = '''sql: select t.* from 'n.parquet' join 'topics.csv' t using (id) where i >= 0'''\n"


SOURCES: dict[str, Callable[[Path], str]] = {
    "csv": text("m.csv", as_csv(";")),
    "csv in GBK": text("m.csv", as_csv(","), "gb18030"),
    "csv in UTF-16": text("m.csv", as_csv("\t"), "utf-16"),
    "packed csv": packed,
    "tsv": text("m.tsv", as_csv("\t")),
    "json": text("m.json", json.dumps(ROWS, indent=1)),
    "list": text("m.txt", "\n".join(URLS)),
    "shards": shards,
    "sql": query,
}


def job_at(folder: Path, server: CountingServer, manifest: str, prompt: str) -> Path:
    head, table = ("", manifest) if manifest.startswith("[") else (manifest, "")
    path = folder / "job.toml"
    path.write_text(
        f"{head}task = 'ask'\noutput = 'out'\n{table}"
        f"[provider]\nname = 'openai'\nmodel = 'm'\nbase_url = '{server.base_url}'\n"
        f"[prompt]\ntext = '{prompt}'\n[limits]\nconcurrency = {CONCURRENCY}\n"
    )
    return path


@pytest.mark.parametrize("source", SOURCES)
def test_a_killed_run_over_a_table_resumes(child_processes: ChildProcesses, tmp_path: Path, source: str) -> None:
    listed = source == "list"
    with CountingServer(script=lambda asked, n: Told(seconds=0.01)) as server:
        prompt = "Say it" if listed else "Say [{topic}]"
        path = job_at(tmp_path, server, SOURCES[source](tmp_path), prompt)
        killed_half_way(child_processes, server, path, COUNT, CONCURRENCY)
        with Job.load(path).connect() as connection:
            topic = "id" if listed else "topic"
            found = connection.sql(f"select id, answer, {topic} from results order by id").fetchall()
    if listed:
        assert sorted(row[0] for row in found) == sorted(URLS)
    else:
        assert found == [(row["id"], f"m says of Say [{row['topic']}]", row["topic"]) for row in ROWS]
