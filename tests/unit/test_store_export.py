"""Export: one row per id, in one file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from support.store_records import answer, keep, vector

from pipeline.errors import JobError
from pipeline.store.export import Chosen, export


@pytest.fixture
def output(tmp_path: Path) -> Path:
    first = answer("a", text='a "cat",\non a mat', source=("/p/a.jpg",), extra={"flag": [1]}, columns={"n": 1})
    keep(tmp_path / "out", answer("a", text="old"), first, answer("b", text="猫"))
    return tmp_path / "out"


def test_csv_has_one_row_per_id_and_lists_as_json(output: Path, tmp_path: Path) -> None:
    assert export(output, "caption", tmp_path / "x.csv") == 2
    with (tmp_path / "x.csv").open(newline="") as file:
        told = {row["id"]: row for row in csv.DictReader(file)}
    assert told["a"]["caption"] == 'a "cat",\non a mat'
    assert json.loads(told["a"]["source"]) == ["/p/a.jpg"]
    assert told["b"]["caption"] == "猫"


def test_jsonl_has_one_object_per_id_with_true_lists(output: Path, tmp_path: Path) -> None:
    assert export(output, "caption", tmp_path / "x.JSONL") == 2
    told = {row["id"]: row for row in map(json.loads, (tmp_path / "x.JSONL").read_text().splitlines())}
    assert told["a"]["source"] == ["/p/a.jpg"]
    assert told["a"]["extra"] == {"flag": [1]}
    assert told["a"]["n"] == 1
    assert told["b"]["cost"] is None


def test_parquet_keeps_types_and_vectors(tmp_path: Path) -> None:
    keep(tmp_path / "out", vector("a", [1, 2, 3]), task="embed")
    assert export(tmp_path / "out", "embed", tmp_path / "x.parquet") == 1
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 3)
    assert table.schema.field("finished_at").type == pa.timestamp("us", tz="UTC")
    assert table.column("embedding").to_pylist() == [[1.0, 2.0, 3.0]]


def test_an_export_before_anything_was_written_has_the_columns_and_no_row(tmp_path: Path) -> None:
    assert export(tmp_path / "none", "caption", tmp_path / "x.parquet") == 0
    assert "caption" in pq.read_schema(tmp_path / "x.parquet").names


def test_another_ending_is_refused_by_name(output: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"one of \.parquet, \.csv, \.jsonl"):
        export(output, "caption", tmp_path / "x.xlsx")


def test_missing_folders_are_made(output: Path, tmp_path: Path) -> None:
    assert export(output, "caption", tmp_path / "a" / "b" / "x.csv") == 2
    assert (tmp_path / "a" / "b" / "x.csv").read_text().startswith("id,seq")


def test_arrow_and_duckdb_files_hold_what_parquet_holds(output: Path, tmp_path: Path) -> None:
    for ending in ("parquet", "arrow", "duckdb"):
        assert export(output, "caption", tmp_path / f"x.{ending}") == 2
    expected = pq.read_table(tmp_path / "x.parquet").sort_by("id").to_pylist()
    assert pa.ipc.open_file(tmp_path / "x.arrow").read_all().sort_by("id").to_pylist() == expected
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as found:
        ids = found.sql("select id from results order by id").fetchall()
    assert ids == [(row["id"],) for row in expected]


def test_columns_are_chosen_or_left_out(output: Path, tmp_path: Path) -> None:
    export(output, "caption", tmp_path / "x.parquet", Chosen(columns=("caption", "id")))
    assert pq.read_schema(tmp_path / "x.parquet").names == ["caption", "id"]
    export(output, "caption", tmp_path / "y.parquet", Chosen(without=("extra",)))
    names = pq.read_schema(tmp_path / "y.parquet").names
    assert "id" in names
    assert "extra" not in names
    with pytest.raises(JobError, match='did you mean "caption"'):
        export(output, "caption", tmp_path / "x.parquet", Chosen(columns=("captoin",)))


def test_an_export_leaves_no_temporary_file_and_replaces_an_older_one(output: Path, tmp_path: Path) -> None:
    for ending in ("csv", "jsonl", "parquet"):
        (tmp_path / f"x.{ending}").write_text("old")
        export(output, "caption", tmp_path / f"x.{ending}")
        assert (tmp_path / f"x.{ending}").read_bytes() != b"old"
    assert not list(tmp_path.glob(".*"))


def test_vectors_of_two_lengths_are_exported_the_older_as_null(tmp_path: Path) -> None:
    keep(tmp_path / "out", vector("a", [1, 2]), task="embed", dimension=2)
    keep(tmp_path / "out", vector("b", [1, 2, 3]), vector("c", [4, 5, 6]), task="embed", dimension=3)
    assert export(tmp_path / "out", "embed", tmp_path / "x.parquet") == 3
    found = duckdb.sql(f"select id, embedding from '{tmp_path / 'x.parquet'}' order by id").fetchall()
    assert [(id_, vector and tuple(vector)) for id_, vector in found] == [
        ("a", None),
        ("b", (1.0, 2.0, 3.0)),
        ("c", (4.0, 5.0, 6.0)),
    ]
    # Before version 26, pyarrow neither writes nor reads NULL among vectors of one length.
    assert pq.read_schema(tmp_path / "x.parquet").field("embedding").type == pa.list_(pa.float32())
