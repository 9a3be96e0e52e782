"""Folders named `key=value` above a table's parts, or above pictures, are columns of the rows below them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.manifests import job_of, rows_of, written

from pipeline.errors import ManifestError
from pipeline.manifest import from_table, open_manifest
from pipeline.manifest.replayable import replayable_row
from pipeline.manifest.rows import InputRules
from pipeline.types import Row

ENDINGS = ("parquet", "jsonl", "csv", "jsonl.gz")


def part(folder: Path, name: str, **columns: list[Any]) -> None:
    """A part of a table in the format of its ending."""
    import gzip
    import json

    table = pa.table(columns)
    path = written(folder, name, b"")
    if name.endswith(".parquet"):
        pq.write_table(table, path)
    elif name.endswith(".csv"):
        lines = [",".join(columns), *(",".join(map(str, row.values())) for row in table.to_pylist())]
        path.write_text("\n".join(lines) + "\n")
    else:
        text = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def columns(rows: list[Row]) -> list[dict[str, Any]]:
    return [dict(row.columns) for row in rows]


@pytest.mark.parametrize("ending", ENDINGS)
def test_hive_folders_are_columns_of_every_table_format(tmp_path: Path, ending: str) -> None:
    part(tmp_path, f"dt=2026-11-01/n=07/p.{ending}", image=["a.jpg"], tag=["x"])
    part(tmp_path, f"dt=2026-11-02/n=8/p.{ending}", image=["b.jpg"], tag=["y"])
    expected = [{"tag": "x", "dt": "2026-11-01", "n": "07"}, {"tag": "y", "dt": "2026-11-02", "n": "8"}]
    for spec in (tmp_path, tmp_path / "*/*/*", tmp_path / "dt=2026*/**/*"):
        rows = rows_of(spec)
        assert columns(rows) == expected
        assert [row.problem for row in rows] == [None, None]
        assert rows[0].raw["dt"] == "2026-11-01"


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_partition_named_alone_has_its_columns(tmp_path: Path, ending: str) -> None:
    part(tmp_path, f"dt=2026-11-01/n=7/p.{ending}", image=["a.jpg"])
    for spec in ("dt=2026-11-01", "dt=2026-11-01/n=7", f"dt=2026-11-01/n=7/p.{ending}", "dt=2026-11-01/n=7/*"):
        assert columns(rows_of(tmp_path / spec)) == [{"dt": "2026-11-01", "n": 7}]


def test_values_are_numbers_only_where_all_of_them_are(tmp_path: Path) -> None:
    for year, name in ((2025, "a"), (2026, "7")):
        part(tmp_path, f"year={year}/name={name}/ok=true/p.jsonl", image=["a.jpg"])
    assert [tuple(row.values()) for row in columns(rows_of(tmp_path))] == [(2025, "a", True), (2026, "7", True)]


def test_escaped_and_empty_values_are_read_as_hive_writes_them(tmp_path: Path) -> None:
    part(tmp_path, "k=a%2Fb c/p.jsonl", image=["a.jpg"])
    part(tmp_path, "k=__HIVE_DEFAULT_PARTITION__/p.jsonl", image=["b.jpg"])
    part(tmp_path, "k=x=y/=z/p.jsonl", image=["c.jpg"])
    part(tmp_path, "plain/p.jsonl", image=["d.jpg"])
    found = {str(row.raw["image"]): row.columns.get("k", "none") for row in rows_of(tmp_path)}
    assert found == {"a.jpg": "a/b c", "b.jpg": None, "c.jpg": "x=y", "d.jpg": "none"}


def test_a_column_of_the_file_goes_before_the_folder(tmp_path: Path) -> None:
    part(tmp_path, "dt=folder/p.parquet", image=["a.jpg"], dt=["file"])
    assert columns(rows_of(tmp_path)) == [{"dt": "file"}]


def test_a_folder_never_becomes_a_field_by_its_name_alone(tmp_path: Path) -> None:
    part(tmp_path, "id=5/prompt=buy/p.parquet", image=["a.jpg", "b.jpg"])
    rows = rows_of(tmp_path, "ask")
    assert len({row.id for row in rows}) == 2
    assert not any(row.given or row.prompt for row in rows)
    assert columns(rows) == [{"id": 5, "prompt": "buy"}] * 2
    (again,) = from_table([replayable_row(rows[0], job_of("ask"), str(tmp_path))], job_of("ask"), "/").rows()
    assert (again.given, again.prompt) == (False, None)


def test_columns_of_the_job_may_make_a_field_of_a_folder(tmp_path: Path) -> None:
    part(tmp_path, "q=What is it?/p.parquet", image=["a.jpg"])
    (row,) = rows_of(tmp_path, "ask", prompt="q")
    assert (row.prompt, dict(row.columns)) == ("What is it?", {})
    with pytest.raises(ManifestError, match='no column "qq"'):
        open_manifest(str(tmp_path), job_of("ask", {"prompt": "qq"}))


def test_the_schema_names_hive_columns(tmp_path: Path) -> None:
    part(tmp_path, "dt=1/id=2/p.parquet", image=["a.jpg"], tag=["x"])
    assert open_manifest(str(tmp_path), job_of()).schema_columns == ("image", "tag", "dt")


def test_derived_ids_of_0_1_0_do_not_cover_folders(tmp_path: Path) -> None:
    part(tmp_path, "dt=1/p.jsonl", note=["same"])
    part(tmp_path, "dt=2/p.jsonl", note=["same"])
    old = list(open_manifest(str(tmp_path), job_of("ask"), InputRules(derived_ids=1)).rows())
    new = rows_of(tmp_path, "ask")
    assert (len({row.id for row in old}), len({row.id for row in new})) == (1, 2)
    assert [row.columns["dt"] for row in old] == [1, 2]


def test_folders_of_pictures_have_them_too(tmp_path: Path) -> None:
    for name in ("label=cat/1.jpg", "label=a%20dog/x/2.jpg", "3.jpg"):
        written(tmp_path, name, b"x")
    found = {row.id: dict(row.columns) for row in rows_of(tmp_path)}
    assert found == {"label=cat/1.jpg": {"label": "cat"}, "label=a%20dog/x/2.jpg": {"label": "a dog"}, "3.jpg": {}}
    assert open_manifest(str(tmp_path / "label=*/**"), job_of()).schema_columns == ("image", "label")
    (row,) = rows_of(tmp_path / "label=cat")
    assert dict(row.columns) == {"label": "cat"}
