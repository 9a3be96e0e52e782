"""Columns of Parquet and of tables from Python, as other programs write them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.manifests import ids, job_of, problems, rows_of

from pipeline.errors import ManifestError
from pipeline.manifest import from_table, open_manifest

KEY = uuid.UUID("0b6ff0a0-7a4e-4b0e-8d3a-0123456789ab")


def repeated(*names: str) -> pa.Table:
    return pa.Table.from_arrays([pa.array([f"{name}{place}"]) for place, name in enumerate(names)], names=list(names))


@pytest.mark.parametrize(
    ("names", "twice"),
    [(("id", "image", "image", "note"), "image"), (("id", "image", "title", "title"), "title")],
)
def test_a_parquet_column_name_given_twice_is_refused(tmp_path: Path, names: tuple[str, ...], twice: str) -> None:
    pq.write_table(repeated(*names), tmp_path / "m.parquet")
    with pytest.raises(ManifestError, match=rf"m\.parquet: .*'{twice}' .*twice"):
        open_manifest(str(tmp_path / "m.parquet"), job_of())


class PandasFrame:
    """What a pandas frame does when it has a column name twice."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise ValueError("Duplicate column names found: ['id', 'image', 'image']")


def test_a_frame_that_gives_no_table_is_refused_in_its_words() -> None:
    with pytest.raises(ManifestError, match=r"Duplicate column names found: \['id', 'image', 'image'\]"):
        from_table(PandasFrame(), job_of(), "/base")


@pytest.mark.parametrize("made", [lambda table: table, lambda table: table.to_reader(), lambda t: t.to_batches()[0]])
def test_a_tables_column_name_given_twice_is_refused(made: Callable[[pa.Table], Any]) -> None:
    with pytest.raises(ManifestError, match=r"'image' .*twice"):
        from_table(made(repeated("id", "image", "image", "note")), job_of(), "/base")


def test_a_repeated_name_in_one_part_of_a_folder_is_refused(tmp_path: Path) -> None:
    pq.write_table(repeated("id", "image"), tmp_path / "a.parquet")
    pq.write_table(repeated("id", "image", "id"), tmp_path / "b.parquet")
    with pytest.raises(ManifestError, match=r"b\.parquet: .*'id' .*twice"):
        open_manifest(str(tmp_path), job_of())


def test_nameless_columns_are_named_by_their_position(tmp_path: Path) -> None:
    pq.write_table(repeated("", "image", "column_1"), tmp_path / "m.parquet")
    manifest = open_manifest(str(tmp_path / "m.parquet"), job_of())
    assert manifest.schema_columns == ("column_1_", "image", "column_1")
    (row,) = manifest.rows()
    assert row.columns == {"column_1_": "0", "column_1": "column_12"}


def test_uuid_columns_are_their_usual_text(tmp_path: Path) -> None:
    duckdb.sql(f"copy (select '{KEY}'::uuid id, 'a.jpg' image, '{KEY}'::uuid more) to '{tmp_path}/m.parquet'")
    (row,) = rows_of(tmp_path / "m.parquet")
    assert (row.id, row.columns, row.problem) == (str(KEY), {"more": str(KEY)}, None)


@pytest.mark.skipif(not hasattr(pa, "uuid"), reason="pyarrow before 18 does not know the type")
def test_uuids_in_lists_are_their_usual_text(tmp_path: Path) -> None:
    duckdb.sql(f"copy (select 'a.jpg' image, ['{KEY}'::uuid] keys) to '{tmp_path}/m.parquet'")
    (row,) = rows_of(tmp_path / "m.parquet")
    assert row.columns == {"keys": [str(KEY)]}


def test_uuids_of_python_rows_are_their_usual_text() -> None:
    (row,) = from_table([{"id": KEY, "image": "a.jpg", "owner": KEY}], job_of(), "/base").rows()
    assert (row.id, row.columns) == (str(KEY), {"owner": str(KEY)})


def test_polars_categoricals_and_enums_are_their_text() -> None:
    frame = pl.DataFrame(
        {"id": ["1", "2"], "image": ["a.jpg", "b.jpg"], "kind": ["x", None], "size": ["big", "small"]},
        schema_overrides={"kind": pl.Categorical, "size": pl.Enum(["small", "big"])},
    )
    rows = list(from_table(frame, job_of(), "/base").rows())
    assert [row.columns for row in rows] == [{"kind": "x", "size": "big"}, {"kind": None, "size": "small"}]


def test_a_frame_of_chunks_with_other_categories_keeps_each() -> None:
    frames = [pl.DataFrame({"image": [f"{name}.jpg"], "kind": [name]}) for name in "ab"]
    frame = pl.concat([one.with_columns(pl.col("kind").cast(pl.Categorical)) for one in frames], rechunk=False)
    assert [row.columns["kind"] for row in from_table(frame, job_of(), "/base").rows()] == ["a", "b"]
    batches = [pa.record_batch({"image": ["a.jpg"], "k": pa.array([name]).dictionary_encode()}) for name in "ab"]
    reader = pa.RecordBatchReader.from_batches(batches[0].schema, batches)
    assert [row.columns["k"] for row in from_table(reader, job_of(), "/base").rows()] == ["a", "b"]


WORDS = ["a", None, "b"]
ENCODED: dict[str, tuple[pa.Array, list[Any]]] = {
    "dictionary": (pa.array(WORDS).dictionary_encode(), WORDS),
    "dictionary of views": (
        pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.int8()), pa.array(["a", "b"], pa.string_view())),
        WORDS,
    ),
    "views": (pa.array(WORDS, pa.string_view()), WORDS),
    "large": (pa.array(WORDS, pa.large_string()), WORDS),
    "binary views": (pa.array([b"a", None, b"b"], pa.binary_view()), WORDS),
    "runs": (pa.RunEndEncodedArray.from_arrays([1, 3], ["a", "b"]), ["a", "b", "b"]),
    "list views": (pa.array([["a"], None, []], pa.list_view(pa.string())), [["a"], None, []]),
    "union": (
        pa.UnionArray.from_dense(
            pa.array([0, 1, 0], pa.int8()), pa.array([0, 0, 1], pa.int32()), [pa.array(["a", "b"]), pa.array([5])]
        ),
        ["a", 5, "b"],
    ),
    "dictionaries in a list": (
        pa.ListArray.from_arrays(pa.array([0, 1, 1, 2]), pa.array(["a", "b"]).dictionary_encode()),
        [["a"], [], ["b"]],
    ),
    "half floats": (pa.array([1, 2, 3], pa.int32()).cast(pa.float16()), [1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("name", ENCODED)
def test_every_encoding_of_arrow_gives_the_values(name: str) -> None:
    array, expected = ENCODED[name]
    table = pa.table({"image": ["1.jpg", "2.jpg", "3.jpg"], "value": array})
    for source in (table, table.slice(0), table.to_reader()):
        assert [row.columns["value"] for row in from_table(source, job_of(), "/base").rows()] == expected
    assert [row.columns["value"] for row in from_table(table.slice(1), job_of(), "/base").rows()] == expected[1:]


FAR = 316_516_204_800_000_000  # microseconds: 12000-01-01
ODD: dict[str, tuple[pa.Array, Any]] = {
    "a map that repeats a key": (
        pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64())),
        [["a", 1], ["a", 2]],
    ),
    "a map in a list view": (
        pa.array([[[("a", 1)]]], pa.list_view(pa.map_(pa.string(), pa.int64()))),
        [{"a": 1}],
    ),
    "a map with keys that are lists": (
        pa.array([[([1], 1), ([1], 2)]], pa.map_(pa.list_(pa.int64()), pa.int64())),
        [[[1], 1], [[1], 2]],
    ),
    "a struct that repeats a name": (
        pa.StructArray.from_arrays([pa.array([1]), pa.array(["x"])], names=["a", "a"]),
        [["a", 1], ["a", "x"]],
    ),
    "a duration of nanoseconds": (pa.array([1], pa.duration("ns")), "1"),
    "a time of nanoseconds": (pa.array([1], pa.time64("ns")), "00:00:00.000000001"),
    "times of nanoseconds in a list": (pa.array([[1]], pa.list_(pa.time64("ns"))), ["00:00:00.000000001"]),
    "an unknown time zone": (pa.array([0], pa.timestamp("us", "Mars/City")), "1970-01-01 00:00:00.000000Z"),
    "a year behind 9999": (pa.array([FAR], pa.timestamp("us")), "12000-01-01 00:00:00.000000"),
    "years behind 9999 in a list": (pa.array([[FAR]], pa.list_(pa.timestamp("us"))), ["12000-01-01 00:00:00.000000"]),
    "an interval": (pa.array([(1, 2, 3)], pa.month_day_nano_interval()), [1, 2, 3]),
    "text that is not UTF-8": (
        pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]),
        "a�",
    ),
    "nothing": (pa.array([None], pa.null()), None),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_value_in_an_unused_column_stops_nothing(name: str) -> None:
    array, expected = ODD[name]
    table = pa.table({"id": ["a"], "image": ["a.jpg"], "odd": array})
    (row,) = from_table(table, job_of(), "/base").rows()
    assert (row.id, row.problem) == ("a", None)
    assert row.columns == {"odd": expected}


def test_one_odd_value_leaves_the_other_rows_their_types() -> None:
    table = pa.table({"image": ["a.jpg", "b.jpg"], "at": pa.array([FAR, 0], pa.timestamp("us"))})
    first, second = from_table(table, job_of(), "/base").rows()
    assert first.columns["at"] == "12000-01-01 00:00:00.000000"
    assert second.columns["at"].year == 1970


def test_an_odd_value_in_a_field_fails_its_row_alone() -> None:
    table = pa.table(
        {"id": ["a", "b"], "image": pa.array([[("k", 1), ("k", 2)], []], pa.map_(pa.string(), pa.int64()))}
    )
    rows = list(from_table(table, job_of(), "/base").rows())
    assert ids(rows) == ["a", "b"]
    assert problems(rows) == {"a": "Local.BadField", "b": "Local.BadField"}


def test_a_number_that_is_none_is_no_id() -> None:
    table = pa.table({"id": pa.array([1.0, float("nan"), None]), "image": ["a.jpg", "b.jpg", "c.jpg"]})
    assert [row.given for row in from_table(table, job_of(), "/base").rows()] == [True, False, False]
