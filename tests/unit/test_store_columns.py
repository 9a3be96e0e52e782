"""The row's other columns: names, types, and conflicts between nights."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from support.store_records import answer, failure, keep, rows

from pipeline.store.columns import common_type, stored_names, type_of


@pytest.mark.parametrize(
    ("value", "type_", "read"),
    [
        (7, "BIGINT", 7),
        (1.5, "DOUBLE", 1.5),
        (True, "BOOLEAN", True),
        ("007", "VARCHAR", "007"),
        (dt.datetime(2026, 11, 21, 6, 0, 0, 5), "TIMESTAMP", dt.datetime(2026, 11, 21, 6, 0, 0, 5)),
        (
            dt.datetime(2026, 11, 21, 6, tzinfo=dt.timezone(dt.timedelta(hours=8))),
            "TIMESTAMP",
            dt.datetime(2026, 11, 20, 22),
        ),
        (dt.date(2026, 11, 21), "VARCHAR", "2026-11-21"),
        (decimal.Decimal("1.25"), "DOUBLE", 1.25),
        (np.int32(3), "BIGINT", 3),
        (2**70, "VARCHAR", str(2**70)),
        ({"a": [1, None]}, "VARCHAR", '{"a":[1,null]}'),
        ([1, 2], "VARCHAR", "[1,2]"),
    ],
)
def test_a_row_column_keeps_its_type_and_nested_ones_become_json(
    tmp_path: Path, value: Any, type_: str, read: Any
) -> None:
    keep(tmp_path, answer("a", columns={"c": value}), failure("b", columns={"c": value}))
    for view in ("results", "failures"):
        assert rows(tmp_path, f"select c, typeof(c) from {view}") == [(read, type_)]


def test_bytes_in_a_column_are_never_written(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", columns={"thumb": b"\x89PNG secret pixels"}))
    ((told,),) = rows(tmp_path, "select thumb from results")
    assert told.startswith("data:application/octet-stream;sha256=")
    assert b"secret pixels" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_names_of_ours_are_stored_with_a_prefix_in_results_and_failures_alike(tmp_path: Path) -> None:
    columns = {"ID": 1, "Caption": "x", "message": "m", "category": "cat", "filename": "f.jpg"}
    keep(tmp_path, answer("a", columns=columns), failure("b", columns=columns))
    for view in ("results", "failures"):
        told = rows(tmp_path, f'select "row_ID", "row_Caption", row_message, category, filename from {view}')
        assert told == [(1, "x", "m", "cat", "f.jpg")]


def test_a_row_column_that_is_taken_gets_another_prefix() -> None:
    names = stored_names(["row_id", "id", "Id", "Tag", "tag", ""], frozenset({"id"}), {})
    assert names == {
        "row_id": "row_id",
        "id": "row_row_id",
        "Id": "row_row_row_Id",
        "Tag": "Tag",
        "tag": "row_tag",
        "": "row_",
    }


def test_spellings_that_differ_by_case_between_rows_are_one_column(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", columns={"Category": "x"}), answer("b", columns={"category": "y"}))
    keep(tmp_path, answer("c", columns={"CATEGORY": "z"}))
    assert rows(tmp_path, 'select "Category" from results order by id') == [("x",), ("y",), ("z",)]
    assert len(rows(tmp_path, "select column_name from (describe results) where column_name ilike 'category%'")) == 1


CONFLICTS = [
    (5, "x", "VARCHAR", ["5", "x"]),
    (True, 1, "VARCHAR", ["true", "1"]),
    (True, 1.5, "VARCHAR", ["true", "1.5"]),
    (dt.datetime(2026, 11, 21), 5, "VARCHAR", ["2026-11-21 00:00:00", "5"]),
    (dt.datetime(2026, 11, 21), True, "VARCHAR", ["2026-11-21 00:00:00", "true"]),
    (5, 1.5, "DOUBLE", [5.0, 1.5]),
    (None, 5, "BIGINT", [None, 5]),
    (None, True, "BOOLEAN", [None, True]),
]


@pytest.mark.parametrize("merged", [False, True], ids=["parts", "merged"])
@pytest.mark.parametrize(("one", "other", "type_", "read"), CONFLICTS)
def test_a_type_conflict_between_nights_reads_as_text_in_either_order(
    tmp_path: Path, one: Any, other: Any, type_: str, read: list[Any], merged: bool
) -> None:
    from pipeline.store.maintenance import compact

    for name, first, second, wanted in (("x", one, other, read), ("y", other, one, read[::-1])):
        output = tmp_path / name
        keep(output, answer("a", columns={"c": first}))
        keep(output, answer("b", columns={"c": second}))
        if merged:
            compact(output, "caption", run_id="run-2")
        told = rows(output, "select c, typeof(c) from results order by id")
        assert told == [(value, type_) for value in wanted]


def test_a_type_conflict_within_a_night_reads_as_text(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", columns={"c": 5}), answer("b", columns={"c": "x"}), answer("c", columns={"c": None}))
    assert rows(tmp_path, "select c from results order by id") == [("5",), ("x",), (None,)]


def test_numbers_too_large_for_a_double_are_not_rounded_among_fractions() -> None:
    assert type_of([2**53 + 1, 0.5]) == "VARCHAR"
    assert type_of([2**53, 0.5]) == "DOUBLE"
    assert common_type("BIGINT", "DOUBLE") == "DOUBLE"


def test_a_column_that_never_had_a_value_is_there_as_text_and_takes_its_type_later(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", columns={"c": None}))
    assert rows(tmp_path, "select c, typeof(c) from results") == [(None, "VARCHAR")]
    keep(tmp_path, answer("b", columns={"c": 3}))
    assert rows(tmp_path, "select c, typeof(c) from results order by id") == [(None, "BIGINT"), (3, "BIGINT")]


def test_columns_that_come_and_go_are_null_where_they_were_not(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", columns={"old": 1}))
    keep(tmp_path, answer("b", columns={"new": 2}))
    assert rows(tmp_path, "select id, old, new from results order by id") == [("a", 1, None), ("b", None, 2)]


def test_every_part_alone_has_all_columns_known_when_it_was_written(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", columns={"c": 1}))
    keep(tmp_path, answer("b"))
    newest = max((tmp_path / "results").glob("*.parquet"))
    assert pq.read_schema(newest).names[-2:] == ["caption", "c"]
