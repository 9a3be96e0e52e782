"""An output of 0.1.0 whose rows have columns that are ours now: they are read, kept and written under `row_…`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.counting_server import CountingServer
from support.store_disk import Hooked

from pipeline.errors import MachineError
from pipeline.store import Store
from pipeline.store.read import connect

FIXTURE = Path(__file__).parents[1] / "fixtures" / "output-0.1.0-columns"
WHOSE = "select id, tier, shared_with, row_tier, row_shared_with, shared, place from {} order by id"
OLD = [("a", None, None, "gold", 7, True, "x"), ("b", None, None, "gold", 9, None, "z")]
FAILED = [("bad", None, None, "silver", 8, False, "y")]
JOURNALED = ("c", None, None, "tin", 10, True, "w")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-fake-fake")
    return shutil.copytree(FIXTURE, tmp_path / "sample")


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as server:
        yield server


def found(output: Path, sql: str) -> list[tuple[Any, ...]]:
    with connect(output, "ask") as connection:
        return connection.sql(sql).fetchall()


def test_new_columns_are_null_before_any_run(tree: Path) -> None:
    assert found(tree / "out", WHOSE.format("results")) == OLD
    assert found(tree / "out", WHOSE.format("failures")) == FAILED
    assert found(tree / "out", WHOSE.format("versions")) == OLD
    names = [row[0] for row in found(tree / "out", "select column_name from (describe results)")]
    assert names[names.index("currency") :][:4] == ["currency", "tier", "shared_with", "request_id"]
    new = "select shared, repeated, remaining, done = skipped from runs where finished_at is not null"
    assert found(tree / "out", new) == [(None, None, None, True)] * 2


def test_the_next_run_keeps_old_and_new_rows_alike(tree: Path, server: CountingServer, pipeline: Any) -> None:
    with (tree / "rows.jsonl").open("a") as rows:
        rows.write(json.dumps({"id": "new", "tier": "iron", "shared_with": 12, "shared": False, "place": "u"}) + "\n")
    ran = pipeline("run", tree / "job.toml", "--set", f"provider.base_url={server.base_url}")
    assert ran.code == 1, ran.err
    assert server.times_asked() == {"hang": 1, "new": 1}
    expected = [
        *OLD,
        JOURNALED,
        ("hang", "realtime", None, "tin", 11, True, "v"),
        ("new", "realtime", None, "iron", 12, False, "u"),
    ]
    for _ in range(2):
        assert found(tree / "out", WHOSE.format("results")) == expected
        assert found(tree / "out", WHOSE.format("failures")) == FAILED
        assert found(tree / "out", "select id, row_row_tier from results where row_row_tier > 0") == [("b", 1.5)]
        with duckdb.connect() as plain:
            plain.execute((tree / "out" / "catalog.sql").read_text())
            assert plain.sql(WHOSE.format("results")).fetchall() == expected
        assert pipeline("compact", tree / "job.toml").code == 0


@pytest.mark.parametrize("nth", range(1, 6))
def test_an_upgrade_that_is_cut_short_shows_and_loses_nothing(tree: Path, nth: int) -> None:
    left = nth

    def refuse(name: str, argument: Any) -> None:
        nonlocal left
        left -= name == "rename"
        if left == 0:
            raise OSError(5, "cut short")

    with pytest.raises(MachineError):
        Store.open(tree / "out", "ask", run_id="cut", files=Hooked(refuse))
    journaled = [JOURNALED] if not list((tree / "out" / "journal").iterdir()) else []
    assert found(tree / "out", WHOSE.format("results")) == OLD + journaled
    assert found(tree / "out", WHOSE.format("failures")) == FAILED
    Store.open(tree / "out", "ask", run_id="whole").close()
    assert found(tree / "out", WHOSE.format("results")) == [*OLD, JOURNALED]
    assert found(tree / "out", WHOSE.format("failures")) == FAILED


def test_version_0_1_0_would_refuse_what_is_written_now(tree: Path) -> None:
    Store.open(tree / "out", "ask", run_id="now").close()
    assert json.loads((tree / "out" / "runs" / "format.json").read_text())["format"] == 2
