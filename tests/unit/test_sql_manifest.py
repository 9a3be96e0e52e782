"""A query as the manifest: its columns as a table's, its paths beside the job file."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.manifests import ids, job_of

from pipeline.errors import JobError, ManifestError
from pipeline.job.load import load
from pipeline.manifest import open_manifest
from pipeline.types import Row


def opened(query: str, folder: Path, **columns: str) -> Any:
    return open_manifest(f"sql:{query}", job_of(columns=columns), folder=str(folder))


def rows_of(query: str, folder: Path, **columns: str) -> list[Row]:
    return list(opened(query, folder, **columns).rows())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job's folder with tables; the working folder has others under the same names."""
    for place, word in ((tmp_path / "jobs", "right"), (tmp_path / "work", "wrong")):
        (place / "sub").mkdir(parents=True)
        (place / "m.csv").write_text(f"id,image,n\n1,{word}.jpg,5\n2,b.jpg,6\n")
        (place / "sub/x.csv").write_text(f"id,image,n\n3,{word}.jpg,7\n")
        duckdb.sql(f"copy (select '{word}.jpg' image, 1 id, date '2026-01-02' as day) to '{place}/m.parquet'")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "jobs"


def test_columns_and_types_are_those_of_the_query(tmp_path: Path) -> None:
    query = (
        "select 7 as id, 'a.jpg' as image, 1.5::double as x, true as ok, timestamp '2026-01-02 03:04:05' as at, "
        "'b'::enum('a', 'b') as kind, {'a': [1, null]} as deep, map {'k': 1} as tags, null as none, "
        "1.50::decimal(4, 2) as d"
    )
    manifest = opened(query, tmp_path)
    assert manifest.schema_columns == ("id", "image", "x", "ok", "at", "kind", "deep", "tags", "none", "d")
    (row,) = manifest.rows()
    assert (row.id, row.where, row.images[0].path) == ("7", "row 1", str(tmp_path / "a.jpg"))
    assert row.columns == {
        "x": 1.5,
        "ok": True,
        "at": datetime.datetime(2026, 1, 2, 3, 4, 5),
        "kind": "b",
        "deep": {"a": [1, None]},
        "tags": {"k": 1},
        "none": None,
        "d": "1.50",
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("from 'm.csv' where id = 1", ["1"]),
        ("select * from './m.csv' m where m.n > 4 order by id desc limit 1 offset 1;", ["1"]),
        ("from read_csv(['m.csv', 'sub/x.csv'], header = true) where image = 'right.jpg' order by id", ["1", "3"]),
        ("from read_csv('sub/*.csv')", ["3"]),
        ("with t as (from 'm.parquet') select t.*, c.n from t join 'm.csv' c using (id)", ["1"]),
        ("select id, image from (select * from 'm.parquet') union all select id, image from 'sub/x.csv'", ["1", "3"]),
        ("select id, image from 'm.csv' where id in (select id from 'm.parquet')", ["1"]),
        ("-- of today\nselect unnest([1]) as id, 'right.jpg' as image", ["1"]),
        ("select 1 as id, content is not null as found, 'right.jpg' as image from read_text('sub/x.csv')", ["1"]),
        ("pivot_free as (select 1) from 'm.csv'", None),
    ],
)
def test_paths_are_those_beside_the_job(folder: Path, query: str, found: list[str] | None) -> None:
    if found is None:
        with pytest.raises(ManifestError, match="sql"):
            opened(query, folder)
        return
    rows = rows_of(query, folder)
    assert ids(rows) == found
    assert rows[0].images[0].path == str(folder / "right.jpg")


def test_a_name_that_only_the_query_makes_is_not_taken_from_elsewhere(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"'sub/x.csv' is a file of the working folder"):
        opened("from read_csv(lower('sub/x.csv'))", folder)
    (folder / "only.csv").write_text("id,image\n1,a.jpg\n")
    assert ids(rows_of("from read_csv(lower('only') || '.csv')", folder)) == ["1"]


def test_absolute_paths_and_tables_of_the_query_stay(folder: Path) -> None:
    own = 'with "m.csv" as (select 9 as id, \'a.jpg\' as image) select * from "m.csv"'
    query = f"{own} union all select id, image from '{folder}/m.csv'"
    assert ids(rows_of(query, folder)) == ["9", "1", "2"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select 1 as id, 'a.jpg' as image, 'b.jpg' as image", "'image' is given twice"),
        ("select idd from 'm.csv'", "idd"),
        ("select * from 'gone.csv'", "gone.csv"),
        ("select * from nowhere", "nowhere"),
        ("copy (select 1) to 'out.csv'", "one SELECT"),
        ("create table t (i int)", "one SELECT"),
        ("select 1; select 2", "one SELECT"),
        ("attach 'x.duckdb'", "one SELECT"),
        ("  ", "one SELECT"),
        ("selec 1", "selec"),
    ],
)
def test_what_is_no_reading_query_is_refused(folder: Path, query: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        opened(query, folder)
    assert not (folder / "out.csv").exists()
    assert not (folder / "x.duckdb").exists()


def test_python_variables_are_no_tables(tmp_path: Path) -> None:
    secret = duckdb.sql("select 1 as id")  # noqa: F841 - what a query must not see
    with pytest.raises(ManifestError, match="secret"):
        opened("from secret", tmp_path)


def test_a_query_that_breaks_on_the_way_says_where(tmp_path: Path) -> None:
    number = "case when i < 50000 then i else error('too far') end"
    query = f"select i as id, 'a.jpg' as image, {number} as n from range(60000) t(i)"
    with pytest.raises(ManifestError, match=r"behind row \d+.*too far"):
        rows_of(query, tmp_path)


def test_any_place_of_a_query_can_be_read_from(tmp_path: Path) -> None:
    manifest = opened("select i as id, i || '.jpg' as image from range(10000) t(i)", tmp_path)
    whole = ids(list(manifest.rows()))
    assert whole == [str(n) for n in range(10000)]
    for start in (1, 2048, 5000, 9999, 10000):
        rows = list(manifest.rows(start))
        assert ids(rows) == whole[start:]
        assert not rows or (rows[0].ordinal, rows[0].where) == (start, f"row {start + 1}")


def test_a_grouped_query_gives_the_same_order_each_time(tmp_path: Path) -> None:
    manifest = opened("select i % 5003 as id, min(i) || '.jpg' as image from range(200000) t(i) group by all", tmp_path)
    assert ids(list(manifest.rows())) == ids(list(manifest.rows()))


def test_a_column_that_the_job_names_must_be_there(tmp_path: Path) -> None:
    assert rows_of("select 'a.jpg' as img", tmp_path, image="img")[0].images
    with pytest.raises(ManifestError, match='did you mean "img"'):
        opened("select 'a.jpg' as img", tmp_path, image="imgg")


def test_the_job_holds_the_query_as_it_is(tmp_path: Path) -> None:
    rest = "output = 'out'\ntask = 'caption'\n[provider]\nname = 'openai'\nmodel = 'm'\n"
    path = tmp_path / "job.toml"
    query = "select {'a': 1} as s, day from '{date}/x.parquet' where a = 'sql:'" + " or true" * 60
    path.write_text(f'manifest = """sql:\n{query}"""\n{rest}')
    spec = load(path, variables={"date": "today"})
    assert spec.manifest == "sql:\n" + query.replace("{date}", "today")
    assert spec.folder == str(tmp_path)
    path.write_text(f"{rest}[manifest]\npath = 'sql: select 1'\nencoding = 'gb18030'\n")
    with pytest.raises((JobError, ManifestError), match="encoding"):
        open_manifest(load(path).manifest, load(path).job, folder=str(tmp_path))
