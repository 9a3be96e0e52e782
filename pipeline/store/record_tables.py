"""Converts the records of one journal segment into the Arrow tables of the datasets."""

from __future__ import annotations

import base64
import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.store import columns
from pipeline.store.datasets import MOST_COLUMNS, OTHERS, OUTCOME_COLUMNS, column_names, reserved, schema, task_columns
from pipeline.store.journal import Entry
from pipeline.store.parts import row_group
from pipeline.store.records import AnswerRecord, AttemptRecord, FailureRecord, Outcome, RunRecord, TurnRecord
from pipeline.tasks import facts
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

RowTypes = Mapping[str, str | None]
"""Stored name of a row column → the type as which it is read. The type is None as long as all values were None."""


RECORDS = {"results": AnswerRecord, "failures": FailureRecord, "attempts": AttemptRecord, "turns": TurnRecord}
"""Dataset → the type of the records from which its rows are made. Rows of `current` are made from outcomes."""

_FIELDS = [name for name in column_names(OUTCOME_COLUMNS) if name not in ("seq", "task", "stale", "extra")]
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Sealed(NamedTuple):
    """The `rows` rows of one dataset in one journal segment.

    `tables`: the rows in order, a row group of them a table, each made when it is asked for, so that only so many
    vectors are in memory twice. `row`: the types of the row columns, with those known before.
    """

    schema: pa.Schema
    rows: int
    tables: Iterator[pa.Table]
    row: RowTypes


def sealed_rows(
    dataset: str, entries: Sequence[Entry], task: TaskName, known: RowTypes, typed: frozenset[str] = frozenset()
) -> Sealed:
    """Returns the rows of one dataset, made from the entries of a journal segment.

    `known`: the types of the row columns before these rows. Only results and failures have row columns. `typed`: the
    columns that hold fields of the answer.
    """
    if dataset == "current":
        table = _manifest_state(entries, task)
        return Sealed(table.schema, table.num_rows, iter([table]), known)
    pairs: list[tuple[int, Any]] = [(seq, record) for seq, record in entries if type(record) is RECORDS[dataset]]
    dimension = _dimension([record for _, record in pairs]) if dataset == "results" and facts(task).embeds else None
    fixed = schema(dataset, task, dimension)
    values: dict[str, list[Any]] = {}
    if dataset in ("results", "failures"):
        ours = reserved(task) | {name.lower() for name in typed}
        others = [name for name in known if name not in typed]
        values = _row_values([record.columns for _, record in pairs], ours, others)
        if dataset == "results":
            values = {name: [record.own.get(name) for _, record in pairs] for name in known if name in typed} | values
    found = {name: columns.settled(known.get(name), all_) for name, all_ in values.items()}
    own = {name: (type_, values[name]) for name, type_ in found.items() if type_ is not None}
    whole = _with_columns(fixed, own)
    return Sealed(whole, len(pairs), _tables(whole, pairs, own, (dataset, task)), {**known, **found})


def _tables(
    whole: pa.Schema,
    pairs: Sequence[tuple[int, Any]],
    own: Mapping[str, tuple[str, list[Any]]],
    of: tuple[str, TaskName],
) -> Iterator[pa.Table]:
    """Yields the rows. `own`: row column → its type and the values of all rows. `of`: the dataset and the task."""
    import pyarrow as pa

    fixed = [field for field in whole if field.name not in own]
    size = row_group(whole)
    for start in range(0, len(pairs), size):
        end = start + size
        values = [columns.array(values[start:end], type_) for type_, values in own.values()]
        yield pa.Table.from_arrays(_arrays(fixed, pairs[start:end], *of) + values, schema=whole)


def runs_table(record: RunRecord, task: TaskName) -> pa.Table:
    import pyarrow as pa

    fixed = schema("runs", task)
    return pa.Table.from_pylist([{"task": task, **record.columns()}], fixed)


def _manifest_state(entries: Sequence[Entry], task: TaskName) -> pa.Table:
    """Returns the rows of `current`: the manifest fingerprint and the stamp, under the `seq` of their outcome.

    An outcome that has neither gets no row.
    """
    import pyarrow as pa

    rows = [
        {"seq": seq, "id": record.id, "fingerprint": record.manifest_fingerprint or record.fingerprint}
        | {"stamp": record.stamp}
        for seq, record in entries
        if isinstance(record, Outcome) and (record.manifest_fingerprint or record.stamp)
    ]
    return pa.Table.from_pylist(rows, schema("current", task))


def _arrays(
    fixed: Iterable[pa.Field], pairs: Sequence[tuple[int, Any]], dataset: str, task: TaskName
) -> list[pa.Array]:
    """Returns one array for each declared column. The values come from the record's `own` or from `_values`."""
    import pyarrow as pa

    arrays = []
    own = column_names(task_columns(task)) if dataset == "results" else ()
    for field in fixed:
        if field.name in own:
            values = [record.own.get(field.name) for _, record in pairs]
        else:
            values = _values(field.name, pairs, task)
        is_vector = field.name in own and field.name == "embedding"
        arrays.append(_vectors(values, field.type) if is_vector else pa.array(values, field.type))
    return arrays


def _values(name: str, pairs: Sequence[tuple[int, Any]], task: TaskName) -> list[Any]:
    match name:
        case "seq":
            return [seq for seq, _ in pairs]
        case "task":
            return [task] * len(pairs)
        case "stale":
            return [False] * len(pairs)
        case "extra":
            return [_as_json(_extra(record)) for _, record in pairs]
        case "row":
            return [_as_json(record.row) for _, record in pairs]
    return [getattr(record, name) for _, record in pairs]


def _extra(record: Any) -> Mapping[str, Any]:
    """Returns `extra`. If a quality check held back an answer, the answer is added under `answer`."""
    answer = record.answer if isinstance(record, FailureRecord) else None
    extra: Mapping[str, Any] = record.extra
    return extra if answer is None else {**extra, "answer": encode_answer(answer)}


def encode_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the task's columns as JSON can hold them. A vector becomes the base64 of its little-endian floats."""
    return {name: base64.b64encode(v).decode() if isinstance(v, bytes) else v for name, v in answer.items()}


def decode_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the task's columns from the form that `encode_answer` returns."""
    return {name: base64.b64decode(v) if name == "embedding" else v for name, v in answer.items()}


def outcome_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields that answers and failures have in common, without `extra`, from a row of a part or of a view.

    Columns that the row does not have are left out: the record has defaults for them.
    """
    fields = {name: row[name] for name in _FIELDS if name in row}
    fields["finished_at"] = micros(row["finished_at"])
    if "source" in row:
        fields["source"] = tuple(row["source"] or ())
    return fields


def micros(moment: dt.datetime) -> int:
    """Returns a moment with a time zone as µs since the epoch."""
    return (moment - _EPOCH) // dt.timedelta(microseconds=1)


def _as_json(value: Mapping[str, Any]) -> str | None:
    return columns.json_text(value) if value else None


def _dimension(records: Sequence[AnswerRecord]) -> int | None:
    """Returns the number of floats of the embeddings. Returns None if the numbers differ or an embedding is missing.

    Before version 26, pyarrow does not read NULL among fixed-size vectors.
    """
    sizes = {None if (vector := record.own.get("embedding")) is None else len(vector) // 4 for record in records}
    return sizes.pop() if len(sizes) == 1 else None


def _vectors(values: Sequence[bytes | None], type_: Any) -> pa.Array:
    """Returns the vectors as an Arrow array over the joined float32 bytes. No float becomes a Python object."""
    import pyarrow as pa

    joined = b"".join([value or b"" for value in values])
    floats = pa.Array.from_buffers(pa.float32(), len(joined) // 4, [None, pa.py_buffer(joined)])
    if pa.types.is_fixed_size_list(type_):  # no vector is missing (`_dimension`)
        return pa.FixedSizeListArray.from_arrays(floats, type=type_)
    offsets = [0, *itertools.accumulate(len(value or b"") // 4 for value in values)]
    mask = pa.array([value is None for value in values]) if None in values else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), floats, mask=mask)


def _with_columns(fixed: pa.Schema, own: Mapping[str, tuple[str, list[Any]]]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([*fixed, *(pa.field(name, columns.arrow_type(type_)) for name, (type_, _) in own.items())])


def _row_values(rows: Sequence[Mapping[str, Any]], ours: frozenset[str], known: Sequence[str]) -> dict[str, list[Any]]:
    """Returns stored name → values of all rows. Known names come first, then new names in the order of appearance.

    Columns beyond the first `MOST_COLUMNS` names are stored as JSON in one column.
    """
    values: dict[str, list[Any]] = {name: [None] * len(rows) for name in known}
    spelling = {name.lower(): name for name in known}
    cache: dict[tuple[str, ...], dict[str, str]] = {}
    beyond: dict[int, dict[str, Any]] = {}
    for index, row in enumerate(rows):
        keys = tuple(row)
        names = cache.get(keys)
        if names is None:
            names = cache[keys] = columns.stored_names(keys, ours, spelling)
            for stored in names.values():
                if stored not in values and len(values) < MOST_COLUMNS:
                    spelling[stored.lower()] = stored
                    values[stored] = [None] * len(rows)
        for key, value in row.items():
            column = values.get(names[key])
            if column is None:
                beyond.setdefault(index, {})[key] = value
            else:
                column[index] = value
    if beyond:
        others = values.setdefault(OTHERS, [None] * len(rows))
        for index, row in beyond.items():
            others[index] = columns.json_of_columns(row)
    return values
