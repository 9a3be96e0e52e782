"""No name, value, size or type of a user's column breaks an output, changes another column, or is lost on the way."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import decimal
import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from support.store_disk import rounds
from support.store_records import answer, failure, keep

from pipeline.store import FailureRecord, Store
from pipeline.store.datasets import DATASETS, FAILURE_COLUMNS, OUTCOME_COLUMNS, column_names, schema, task_columns
from pipeline.store.export import export
from pipeline.store.failed_rows import accept
from pipeline.store.maintenance import compact
from pipeline.store.read import connect

OURS = sorted({name for dataset in DATASETS for name in schema(dataset, "caption").names})
SQL = [
    "'; drop view results; --",
    '" from parts.results --',
    "{columns}",
    "{pattern}",
    "select",
    "*",
    "a.b",
    "%s",
    "$1",
]
INNER = [
    "part_",
    "answers_",
    "stamp_",
    "rows_",
    "known",
    "listing",
    "one",
    "other",
    "part",
    "replaced",
    "f",
    "m",
    "r",
    "w",
    "d",
    "u",
    "dt",
    "filename",
    "file_row_number",
    "file_index",
    "rowid",
    "blocks.list.element.text",
    "embedding",
    "embedding.list.element",
    "nothing",
    "parts",
    "keys",
    "__index_level_0__",
    "Other_columns",
]

_odd_text = st.text(st.characters(exclude_categories=()), max_size=12)  # surrogates, NUL, line ends, controls and all
names = st.one_of(
    st.sampled_from(OURS).flatmap(lambda name: st.sampled_from([name, name.upper(), f"row_{name}", f"row_row_{name}"])),
    st.sampled_from(INNER).flatmap(lambda name: st.sampled_from([name, name.title(), name + "\0", " " + name])),
    st.sampled_from(
        [*SQL, "", " ", "\0", "\ud800", "a", "A", "É", "é", "\u0130", "\u212a", "x" * 10_000, "a\nb", 'a"b']
    ),
    _odd_text,
)
_times = st.datetimes(timezones=st.sampled_from([None, dt.UTC, dt.timezone(dt.timedelta(hours=-11))]))
_plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(),
    st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63), 2**64, 10**400]),
    st.floats(),
    _odd_text,
    st.sampled_from(["\0", "\ud83d", "=1+1", "\x1b[2J", "data", "NaN", "7", "true", "2026-11-21 06:00:00"]),
    _times,
    st.dates(),
    st.decimals(),
    st.binary(max_size=9),
)
values = st.one_of(
    _plain,
    st.recursive(_plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_odd_text, inner, max_size=3)),
)
rows = st.dictionaries(names, values, max_size=6)
nights = st.lists(st.lists(st.tuples(st.booleans(), rows), min_size=4, max_size=12), min_size=1, max_size=3)


@settings(
    max_examples=rounds(8),
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # a smaller case takes longer to find than this one takes to read
    suppress_health_check=list(HealthCheck),
)
@given(nights)
def test_columns_of_any_name_and_value_come_back(nights: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "dt=2026" / "id=7"
        output.parent.mkdir()
        told: dict[str, Mapping[str, Any]] = {}
        failed: dict[str, Mapping[str, Any]] = {}
        for night in nights:
            records = []
            for answered, columns in night:
                id_ = f"i{len(told) + len(failed)}"
                (told if answered else failed)[id_] = columns
                records.append(answer(id_, text=id_, columns=columns) if answered else suspect(id_, columns))
            keep(output, *records)
        for done in (lambda: None, lambda: compact(output, "caption", run_id="c")):
            done()
            with connect(output, "caption") as views:
                compare(views, "results", told)
                compare(views, "failures", failed)
        with Store.open(output, "caption", run_id="r") as store:
            assert accept(store) == len(failed)
        with connect(output, "caption") as views:
            compare(views, "results", told | failed)
            exported(output, views.sql("select * from results").columns, len(told | failed))


def suspect(id_: str, columns: Mapping[str, Any]) -> FailureRecord:
    return failure(id_, columns=columns, fault="suspect", answer={"caption": id_}, row=columns)


def compare(views: Any, view: str, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """The view has these rows, each with its own columns' values under their names and nothing else beside ours."""
    relation = views.sql(f"select * from {view} order by seq")
    fixed = (
        *column_names(OUTCOME_COLUMNS),
        *column_names(task_columns("caption") if view == "results" else FAILURE_COLUMNS),
    )
    assert tuple(relation.columns[: len(fixed)]) == fixed
    assert len({name.lower() for name in relation.columns}) == len(relation.columns)
    found = relation.fetchall()
    assert [row[0] for row in found] == list(wanted)
    for row in found:
        if view == "results":
            assert row[fixed.index("caption")] == row[0]
        own = {name: value for name, value in zip(relation.columns, row, strict=True) if name not in fixed}
        for name, value in wanted[row[0]].items():
            if value is not None:
                fitting = [stored for stored in own if fits(name, stored) and same(value, own[stored])]
                assert fitting, (name, value, [own[stored] for stored in own if fits(name, stored)], own)
                del own[fitting[0]]
        assert not {name: value for name, value in own.items() if value is not None}, (own, wanted[row[0]])


def fits(name: str, stored: str) -> bool:
    wanted = clean(name).replace("\0", "\ufffd").lower()
    return stored.lower().endswith(wanted) and not stored.lower().removesuffix(wanted).replace("row_", "")


def clean(text: str) -> str:
    return text.encode(errors="replace").decode()


def same(value: Any, read: Any) -> bool:
    """The value, or its text where another row has a text in this column."""
    if read is None:
        return False
    if isinstance(value, str):
        return bool(read == clean(value))
    if isinstance(value, bool):
        return read is value or read == str(value).lower()
    if isinstance(value, int):
        exact = abs(value) <= 2**53 and number(read) == value  # a whole number among fractions reads "7.0" beside texts
        return str(read) == str(value) or exact
    if isinstance(value, (float, decimal.Decimal)):
        wanted = math.nan if "NaN" in str(decimal.Decimal(value)) else float(value)
        return repr(number(read)) == repr(number(wanted))
    if isinstance(value, dt.datetime):
        return moment(read) == moment(value) if isinstance(read, dt.datetime) else read == moment(value)
    if isinstance(value, bytes):
        return str(read).startswith("data:application/octet-stream;sha256=")
    if isinstance(value, (list, dict)):
        return (
            isinstance(read, str)
            and read[:1] == "[{"[isinstance(value, dict)]
            and bool(json.loads(read)) == bool(value)
        )
    return bool(read == value.isoformat())


def number(value: Any) -> float | None:
    with contextlib.suppress(ValueError, TypeError):  # no number, or a moment
        return float(value) + 0.0
    return None


def moment(value: dt.datetime) -> str:
    try:
        utc = value if value.tzinfo is None else value.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError:
        return str(value)
    return utc.isoformat(" ").rstrip("0") if utc.microsecond else str(utc)


def exported(output: Path, columns: list[str], rows: int) -> None:
    """Every format takes all rows and all columns."""
    for ending in ("csv", "jsonl", "parquet"):
        assert export(output, "caption", output / f"all.{ending}") == rows
    with (output / "all.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == columns
    assert {len(row) for row in table} == {len(columns)}
    assert len(table) == rows + 1
    lines = (output / "all.jsonl").read_bytes().decode().split("\n")[:-1]
    assert len(lines) == rows
    assert all(list(json.loads(line)) == columns for line in lines)
    assert pq.read_schema(output / "all.parquet").names == columns
    assert pq.read_metadata(output / "all.parquet").num_rows == rows
