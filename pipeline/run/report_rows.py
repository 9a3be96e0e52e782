"""The rows of a report: answers and open failures, sampled evenly or a page at a time, as the page shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.job.load import LoadedJob
from pipeline.store.dataset_schema import DatasetSchema
from pipeline.store.datasets import FAILURE_COLUMNS, OUTCOME_COLUMNS, column_names, task_columns
from pipeline.store.layout import Layout
from pipeline.store.read import query
from pipeline.store.sql import quoted
from pipeline.tasks import facts

if TYPE_CHECKING:
    import duckdb

MOST_FIELDS = 24
"""Columns of the answer and of the row that are shown."""
MOST_TEXT = 4_000
"""Characters of an answer that are shown."""
MOST_VALUE = 500
"""Characters of any other text."""
MOST_ITEMS = 30
"""Values of a list that are shown."""
MOST_BLOCKS = 300
"""Blocks of text whose places are drawn."""
MOST_SOURCES = 8
FACET_VALUES = 12
"""A column with at most so many different values becomes a filter."""
FACET_TEXT = 60
"""Characters of a filter's value, at most."""
MOST_FACETS = 6
SAFE_INTEGER = 2**53 - 1
"""Beyond it, a number of JavaScript is no longer exact: such a number is shown as text."""

_OUTCOME = (
    "seq, id, task, model, attempt_count, latency_ms, input_tokens, output_tokens, media_tokens, cost, currency, tier, "
    "shared_with, finish_reason, stale, epoch(finished_at) as finished"
)
_FAILURE = {*column_names(OUTCOME_COLUMNS), *column_names(FAILURE_COLUMNS)}


class Field(msgspec.Struct, frozen=True):
    """A column that rows are shown with. origin: `answer` (typed), `task` or `row`. type: SQL."""

    name: str
    origin: str
    type: str


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """What a row of the output has. text: the answer's column, None for vectors. left_out: columns not shown.
    in_failures: those of `shown` that failures have too, each with its type there."""

    text: str | None
    blocks: bool
    vector: bool
    shown: tuple[Field, ...]
    in_failures: dict[str, str]
    left_out: int

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection, spec: LoadedJob) -> Fields:
        task = spec.job.task
        ours = task_columns(task)
        text = next((column.name for column in ours if column.type == "VARCHAR"), None)
        others = {column.name for column in ours if column.name not in (text, "blocks", "embedding")}
        fixed = {*column_names(OUTCOME_COLUMNS), *column_names(ours)} - others
        typed = DatasetSchema.load(Layout(spec.output).dataset("results"), task).typed
        known = connection.sql("select * from results limit 0")
        types = dict(zip(known.columns, map(str, known.types), strict=True))
        origin = {name: "task" if name in others else "answer" if name in typed else "row" for name in types}
        names = sorted((name for name in types if name not in fixed), key=lambda name: origin[name])
        failed = connection.sql("select * from failures limit 0")
        in_failures = dict(zip(failed.columns, map(str, failed.types), strict=True))
        shown = [name for name in names[:MOST_FIELDS] if name in in_failures and name not in _FAILURE]
        return cls(
            text=text,
            blocks="blocks" in types and "blocks" in column_names(ours),
            vector=facts(task).embeds,
            shown=tuple(Field(name, origin[name], types[name]) for name in names[:MOST_FIELDS]),
            in_failures={name: in_failures[name] for name in shown},
            left_out=max(0, len(names) - MOST_FIELDS),
        )

    def types(self, view: str) -> dict[str, str]:
        """Returns the columns of `shown` that a view has, with their types there."""
        return self.in_failures if view == "failures" else {field.name: field.type for field in self.shown}


class Keys(msgspec.Struct, frozen=True):
    """Rows by `seq`, in order, and how many there are of which these are a part."""

    answers: list[int]
    failures: list[int]
    answers_total: int
    failures_total: int


def sample(connection: duckdb.DuckDBPyConnection, most: int) -> Keys:
    """Returns at most `most` rows of the output, taken evenly in the order of `seq`.

    Failures get up to a quarter of the places, or more where there are few answers: they are what people look for.
    """
    counted = query(connection, "select (select count(*) from results), (select count(*) from failures)").fetchall()
    answers, failures = counted[0]
    failed = min(failures, max(most // 4, most - answers))
    return Keys(
        _evenly(connection, "results", answers, min(answers, most - failed)),
        _evenly(connection, "failures", failures, failed),
        answers,
        failures,
    )


def _evenly(connection: duckdb.DuckDBPyConnection, view: str, total: int, wanted: int) -> list[int]:
    sql = f"""
        select seq from (select seq, row_number() over (order by seq) - 1 as place from {view})
        where place * $wanted::hugeint % $total < $wanted order by seq
    """
    if not wanted:
        return []
    return [seq for (seq,) in query(connection, sql, {"wanted": wanted, "total": total}).fetchall()]


def read_rows(
    connection: duckdb.DuckDBPyConnection, fields: Fields, answers: Sequence[int], failures: Sequence[int]
) -> list[dict[str, Any]]:
    """Returns the rows with these `seq`, in the order given: the answers, then the failures.

    Texts, lists and blocks are cut in SQL to the lengths above, so that an answer of a megabyte is never loaded whole.
    """
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for state, view, seqs in (("answered", "results", answers), ("failed", "failures", failures)):
        if seqs:
            sql = f"select {_columns(fields, view)} from {view} where seq in (select unnest($seqs::bigint[]))"
            relation = query(connection, sql, {"seqs": list(seqs)})
            for values in relation.fetchall():
                row = dict(zip(relation.columns, values, strict=True))
                found[state, row["seq"]] = _shown(row, fields, state)
    wanted = [("answered", seq) for seq in answers] + [("failed", seq) for seq in failures]
    return [found[key] for key in wanted if key in found]


def _columns(fields: Fields, view: str) -> str:
    columns = [_OUTCOME, f"list_slice(source, 1, {MOST_SOURCES}) as source", "len(source) as sources"]
    if view == "failures":
        columns += [
            f"fault, code, http_status, left(message, {MOST_TEXT}) as message",
            f'left("row", {MOST_TEXT}) as asked',
        ]
    elif fields.text:
        columns += [f"left({quoted(fields.text)}, {MOST_TEXT}) as text_", f"length({quoted(fields.text)}) as length_"]
    if fields.blocks and view == "results":
        columns.append(f"list_slice(blocks, 1, {MOST_BLOCKS}) as blocks_")
    types = fields.types(view)
    columns += [
        f"{_cut(field.name, types[field.name])} as {quoted(f'field_{place}')}"
        for place, field in enumerate(fields.shown)
        if field.name in types
    ]
    return ", ".join(columns)


def _cut(column: str, type_: str) -> str:
    name = quoted(column)
    if type_ == "VARCHAR":
        return f"left({name}, {MOST_VALUE})"
    if type_ == "VARCHAR[]":
        return f"list_transform(list_slice({name}, 1, {MOST_ITEMS}), lambda x: left(x, {MOST_VALUE}))"
    return f"list_slice({name}, 1, {MOST_ITEMS})" if type_.endswith("[]") else name


def _shown(row: dict[str, Any], fields: Fields, state: str) -> dict[str, Any]:
    """Returns a row as the page gets it. A value that is not known is left out."""
    values = {field.name: row.pop(f"field_{place}", None) for place, field in enumerate(fields.shown)}
    if state == "answered" and row["shared_with"] is not None:
        state = "shared"
    if row.pop("stale"):
        state = "stale" if state != "failed" else state
    text, length, blocks = row.pop("text_", None), row.pop("length_", None), row.pop("blocks_", None)
    shown = {
        "state": state,
        **row,
        "text": text,
        "length": length if length is not None and length > MOST_TEXT else None,
        "blocks": _blocks(blocks),
        "fields": {name: plain(value) for name, value in values.items() if value is not None},
    }
    return {name: plain(value) for name, value in shown.items() if value is not None and value != []}


def _blocks(blocks: Iterable[Mapping[str, Any]] | None) -> list[list[Any]]:
    """Returns [text, page or 0, [x, y, x, y, …]] of each block that has a place, in whole pixels."""
    return [
        [(block["text"] or "")[:MOST_VALUE], block["page"] or 0, [_pixel(part) for point in polygon for part in point]]
        for block in blocks or ()
        if (polygon := block["polygon"]) and all(len(point) == 2 for point in polygon)
    ]


def _pixel(value: float | None) -> int:
    return round(value) if value is not None and math.isfinite(value) else 0


def plain(value: Any) -> Any:
    """Returns a value as JSON and JavaScript hold it without loss, or its text."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)


def facets(connection: duckdb.DuckDBPyConnection, fields: Fields, seqs: Sequence[int]) -> list[Any]:
    """Returns the columns that have few different values among these rows of `results`, each as [name, values].

    The values are texts, the most frequent one first. A list counts with each of its values.
    """
    found: list[Any] = []
    for field in (field for field in fields.shown if field.type in ("VARCHAR", "BOOLEAN", "VARCHAR[]")):
        values = f"unnest({quoted(field.name)})" if field.type == "VARCHAR[]" else quoted(field.name)
        sql = (
            f"select value::varchar, n from (select value, count(*) as n from (select {values} as value from results "
            "where seq in (select unnest($seqs::bigint[]))) where value is not null group by value "
            f"order by n desc, value limit {FACET_VALUES + 1})"
        )
        counts = query(connection, sql, {"seqs": list(seqs)}).fetchall()
        short = all(len(value) <= FACET_TEXT and value[:1] not in ("{", "[") for value, _ in counts)
        if 2 <= len(counts) <= FACET_VALUES and short and sum(number for _, number in counts) > len(counts):
            found.append([field.name, [value for value, _ in counts]])
    return found[:MOST_FACETS]
