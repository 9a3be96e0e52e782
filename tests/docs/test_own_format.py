"""A table format that another distribution brings is used like a built-in one, by every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.counting_server import Asked, CountingServer, Told

READER = """
from pipeline.manifest import BadLine, TableFormat


def read(path, encoding):
    with open(path, encoding=encoding or "utf-8") as file:
        for number, line in enumerate(file, 1):
            cells = dict(pair.split("=", 1) for pair in line.strip().split(";") if "=" in pair)
            if "boom" in cells:
                raise RuntimeError("boom")
            yield number, cells or BadLine("the line has no key=value")


def batches(path, encoding):
    import pyarrow as pa

    yield pa.RecordBatch.from_pydict({"id": ["x", "y"], "prompt": ["[x] ?", "[y] ?"]})


KV = TableFormat(name="kv", suffixes=(".kv", ".keyvalue"), lines=read)
ARROWS = TableFormat(name="arrows", suffixes=(".arrows",), lines=batches)
"""
JOB = """task = "ask"
output = "out"
[manifest]
path = "{}"
{}
[provider]
name = "openai"
model = "m"
base_url = "{}"
"""


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Home:
    """A folder with a job, and a distribution beside the job that brings the formats."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        site = folder / "site"
        facts = site / "kv_tables-1.0.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: kv-tables\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text("[pipeline.formats]\nkv = kv_tables:KV\narrows = kv_tables:ARROWS\n")
        (site / "kv_tables.py").write_text(READER)
        self.site: Path | None = site
        self.base_url = "http://127.0.0.1:9/v1"

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.folder / name.replace("__", "/").replace("_", ".")).write_text(text)

    def run(self, command: str, *arguments: str, manifest: str = "m.kv", more: str = "") -> Ran:
        job = self.folder / "job.toml"
        job.write_text(JOB.format(manifest, more, self.base_url))
        environment = {**os.environ, "OPENAI_API_KEY": "sk-counting", "PYTHONPATH": str(self.site or "")}
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", command, str(job), *arguments],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return Ran(done.returncode, done.stdout, done.stderr)

    def rows(self, sql: str, **how: str) -> list[dict[str, Any]]:
        ran = self.run("query", sql, "--format", "json", **how)
        assert ran.code == 0, ran.err
        found: list[dict[str, Any]] = json.loads(ran.out)
        return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


LINES = "id=a;prompt=[a] ?;lang=de\nnothing here\nid=c;prompt=[c] ?\n"


def test_a_format_from_outside_is_read_and_sent_again(home: Home) -> None:
    home.write(m_kv=LINES)
    wrong = {"c"}

    def script(asked: Asked, n: int) -> Told:
        return Told(status=400, code="InvalidParameter") if asked.id in wrong else Told()

    with CountingServer(script) as server:
        home.base_url = server.base_url
        plan = home.run("plan", "--json")
        assert plan.code == 0, plan.err
        planned = json.loads(plan.out)
        assert (planned["rows"], [entry["rows"] for entry in planned["refused"]]) == (3, [1])
        ran = home.run("run")
        assert ran.code == 1, ran.err
        assert home.rows("select id, lang from results") == [{"id": "a", "lang": "de"}]
        failed = home.rows("select id, code, message from failures order by id")
        assert [row["id"] for row in failed] == ["c", "line:2"]
        assert failed[1]["code"] == "Local.BadLine"
        assert "the line has no key=value" in failed[1]["message"]
        wrong.clear()
        again = home.run("reprocess", "--where", "id = 'c'")
        assert "1 answered" in again.err, again.err
        assert home.rows("select count(*) as n from results") == [{"n": 2}]
        assert "nothing to send" in home.run("run").err


@pytest.mark.parametrize("manifest", ["parts", "parts/*.kv"])
def test_files_of_an_own_format_are_one_table(home: Home, manifest: str) -> None:
    (home.folder / "parts").mkdir()
    home.write(
        parts__1_kv="id=a;prompt=[a] ?\n", parts__2_kv=LINES.replace("a;prompt=[a]", "b;prompt=[b]"), parts__note_md="x"
    )
    plan = home.run("plan", "--json", manifest=manifest)
    assert plan.code == 0, plan.err
    found = json.loads(plan.out)
    assert (found["rows"], [entry["rows"] for entry in found["refused"]]) == (4, [1])
    with CountingServer() as server:
        home.base_url = server.base_url
        assert home.run("run", manifest=manifest).code == 1
        assert {asked.id for asked in server.asked} == {"a", "b", "c"}
    assert home.rows("select id from failures", manifest=manifest) == [{"id": "line:2.kv:2"}]


def test_an_own_format_is_chosen_by_its_name(home: Home) -> None:
    home.write(m_dat=LINES)
    plan = home.run("plan", "--json", manifest="m.dat", more='format = "kv"')
    assert plan.code == 0, plan.err
    assert json.loads(plan.out)["rows"] == 3


def test_an_own_format_may_give_record_batches(home: Home) -> None:
    home.write(m_arrows="")
    plan = home.run("plan", "--json", manifest="m.arrows")
    assert plan.code == 0, plan.err
    assert json.loads(plan.out)["send"] == 2


def test_an_unknown_ending_or_format_names_those_known(home: Home) -> None:
    home.write(m_xlsx="x")
    ran = home.run("plan", manifest="m.xlsx")
    assert ran.code == 2
    for suffix in (".jsonl", ".csv", ".parquet", ".kv", ".keyvalue", ".arrows"):
        assert suffix in ran.err
    ran = home.run("plan", manifest="m.xlsx", more='format = "arows"')
    assert ran.code == 2
    assert 'manifest.format: found "arows"' in ran.err
    assert 'did you mean "arrows"' in ran.err
    assert "pipeline.formats" in ran.err
    home.site = None
    assert ".kv" not in home.run("plan", manifest="m.xlsx").err


def test_a_reader_that_fails_is_named_with_its_line(home: Home) -> None:
    home.write(m_kv="id=a;prompt=x\nboom=1\n")
    ran = home.run("plan")
    assert ran.code == 2
    assert "m.kv: the reader of the format kv failed behind line 1: RuntimeError: boom" in ran.err
    (home.folder / "site" / "kv_tables.py").write_text("import no_such_module\n")
    ran = home.run("plan")
    assert ran.code == 2
    assert "kv-tables" in ran.err
    assert "no_such_module" in ran.err
