"""Parquet shards of Hugging Face data sets: a picture is a struct of its bytes and its path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.manifests import ids, job_of
from support.pictures import drawn, encoded

from pipeline.manifest import from_table, open_manifest
from pipeline.manifest.rows import InputRules
from pipeline.media.redact import public
from pipeline.types import Row

KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PICTURES = [encoded(drawn(8 + n, 8), "PNG") for n in range(4)]


def shard(path: Path, pictures: list[tuple[bytes | None, str | None] | None], **more: list[Any]) -> None:
    rows = [None if one is None else dict(zip(("bytes", "path"), one, strict=True)) for one in pictures]
    pq.write_table(pa.table({"image": pa.array(rows, KIND), **more}), path, row_group_size=2)


def read(path: Path, **rules: Any) -> list[Row]:
    return list(open_manifest(str(path), job_of(), InputRules(**rules)).rows())


def test_the_path_is_the_source_and_the_id(tmp_path: Path) -> None:
    shard(tmp_path / "m.parquet", [(PICTURES[0], "cats/1.png"), (PICTURES[1], "2.png"), (PICTURES[2], None)])
    rows = read(tmp_path / "m.parquet")
    assert ids(rows)[:2] == ["cats/1.png", "2.png"]
    assert [public(row.images[0]) for row in rows[:2]] == ["cats/1.png", "2.png"]
    assert [row.images[0].data for row in rows] == PICTURES[:3]
    assert not any(row.given for row in rows)
    assert len(rows[2].id) == 32
    assert public(rows[2].images[0]).startswith("data:;sha256=")


def test_a_path_that_comes_again_is_another_row(tmp_path: Path) -> None:
    shard(tmp_path / "0.parquet", [(PICTURES[0], "1.png"), (PICTURES[1], "2.png"), (PICTURES[2], "1.png")])
    shard(tmp_path / "1.parquet", [(PICTURES[3], "1.png"), (PICTURES[2], "1.png"), (PICTURES[3], "3.png")])
    rows = read(tmp_path)
    assert ids(rows)[:2] == ["1.png", "2.png"]
    assert ids(rows)[5] == "3.png"
    assert all(id_.startswith("1.png#") for id_ in ids(rows)[2:5])
    assert ids(rows)[2] == ids(rows)[4]  # the same picture again
    assert len(set(ids(rows))) == 5


def test_rows_that_are_added_leave_the_ids_before_them(tmp_path: Path) -> None:
    shard(tmp_path / "0.parquet", [(PICTURES[0], "1.png"), (PICTURES[1], "2.png")])
    before = ids(read(tmp_path))
    shard(tmp_path / "1.parquet", [(PICTURES[2], "2.png"), (PICTURES[3], "1.png")])
    assert ids(read(tmp_path))[:2] == before


def test_one_picture_with_several_questions_is_several_rows(tmp_path: Path) -> None:
    shard(tmp_path / "m.parquet", [(PICTURES[0], "1.png")] * 2, prompt=["What?", "Where?"])
    assert len(set(ids(read(tmp_path / "m.parquet")))) == 2


def test_a_given_id_stays_the_id(tmp_path: Path) -> None:
    shard(tmp_path / "m.parquet", [(PICTURES[0], "1.png"), (PICTURES[1], "2.png")], id=["a", "b"])
    rows = read(tmp_path / "m.parquet")
    assert ids(rows) == ["a", "b"]
    assert public(rows[0].images[0]) == "1.png"


def test_any_place_of_the_shards_gives_the_same_ids(tmp_path: Path) -> None:
    shard(tmp_path / "0.parquet", [(PICTURES[n % 4], f"{n % 3}.png") for n in range(7)])
    shard(tmp_path / "1.parquet", [(PICTURES[n % 4], f"{n % 5}.png") for n in range(7)])
    manifest = open_manifest(str(tmp_path), job_of())
    whole = list(manifest.rows())
    for start in range(15):
        assert list(manifest.rows(start)) == whole[start:]


def test_an_output_of_0_1_0_keeps_its_ids(tmp_path: Path) -> None:
    shard(tmp_path / "m.parquet", [(PICTURES[0], "1.png")])
    (row,) = read(tmp_path / "m.parquet", derived_ids=1)
    assert len(row.id) == 32


@pytest.mark.parametrize("source", ["table", "stream", "sql"])
def test_tables_of_python_and_queries_have_the_same_ids(tmp_path: Path, source: str) -> None:
    shard(tmp_path / "0.parquet", [(PICTURES[n % 4], f"{n % 3}.png") for n in range(7)])
    shard(tmp_path / "1.parquet", [(PICTURES[0], None), None, (PICTURES[3], "3.png")])
    table = pa.concat_tables([pq.read_table(tmp_path / f"{n}.parquet") for n in (0, 1)])
    if source == "sql":
        manifest = open_manifest("sql: from '*.parquet'; -- all", job_of(), folder=str(tmp_path))
    else:
        manifest = from_table(table if source == "table" else table.to_reader(), job_of(), str(tmp_path))
    assert ids(list(manifest.rows())) == ids(read(tmp_path))
    assert ids(list(manifest.rows(4))) == ids(read(tmp_path))[4:]


def test_a_path_without_bytes_is_a_file(tmp_path: Path) -> None:
    shard(tmp_path / "m.parquet", [(None, "sub/1.png"), None])
    first, second = read(tmp_path / "m.parquet")
    assert (first.id, first.images[0].path) == ("sub/1.png", str(tmp_path / "sub/1.png"))
    assert second.images == ()


@pytest.mark.parametrize("name", ["https://h/1.png?Signature=secret", "a\nb.png"])
def test_a_source_shows_no_signature(name: str) -> None:
    (row,) = from_table([{"image": {"bytes": PICTURES[0], "path": name}}], job_of(), "/base").rows()
    assert "secret" not in public(row.images[0])
    assert public(row.images[0]).split("?")[0] in name
