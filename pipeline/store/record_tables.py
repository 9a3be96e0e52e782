"""Records into Arrow tables: the columns of every dataset from the records of one journal segment."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.store import columns
from pipeline.store.arrow_schemas import COMMON, DEAD, MOST_COLUMNS, OTHERS, own, reserved, schema
from pipeline.store.journal import Entry
from pipeline.store.records import AnswerRecord, AttemptRecord, FailureRecord, Outcome, RunRecord, TurnRecord
from pipeline.tasks import facts
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

RowTypes = Mapping[str, str | None]
"""Stored name of a row column → the type it is read as; None as long as every value was None."""


def attempts_table(entries: Sequence[Entry], task: TaskName) -> pa.Table:
    records = [entry.record for entry in entries if isinstance(entry.record, AttemptRecord)]
    return _table(schema("attempts", task), lambda name: [getattr(record, name) for record in records])


def turns_table(entries: Sequence[Entry], task: TaskName) -> pa.Table:
    """The answers to questions of conversations, each under its `seq`."""
    pairs = [(entry.seq, entry.record) for entry in entries if isinstance(entry.record, TurnRecord)]

    def column(name: str) -> list[Any]:
        if name == "seq":
            return [seq for seq, _ in pairs]
        if name == "extra":
            return [_as_json(record.extra) for _, record in pairs]
        return [getattr(record, name) for _, record in pairs]

    return _table(schema("turns", task), column)


def runs_table(records: Sequence[RunRecord], task: TaskName) -> pa.Table:
    def column(name: str) -> list[Any]:
        return [task if name == "task" else getattr(record, name) for record in records]

    return _table(schema("runs", task), column)


def manifest_state_table(entries: Sequence[Entry], task: TaskName) -> pa.Table:
    """What the outcomes say of their manifest rows: the row's own fingerprint and stamp, under the outcome's `seq`."""
    marks = [
        (entry.seq, entry.record.id, entry.record.manifest_fingerprint or entry.record.fingerprint, entry.record.stamp)
        for entry in entries
        if isinstance(entry.record, Outcome) and (entry.record.manifest_fingerprint or entry.record.stamp)
    ]
    order = {"seq": 0, "id": 1, "fingerprint": 2, "stamp": 3}
    return _table(schema("current", task), lambda name: [mark[order[name]] for mark in marks])


def results_table(entries: Sequence[Entry], task: TaskName, known: RowTypes) -> tuple[pa.Table, RowTypes]:
    """The answers, and the row's columns as known now (`known` is what was known before)."""
    pairs = [(entry.seq, entry.record) for entry in entries if isinstance(entry.record, AnswerRecord)]
    dimension = _dimension([record for _, record in pairs]) if facts(task).embeds else None
    fixed = schema("results", task, dimension)
    arrays = [_common(name, pairs, task, fixed) for name in COMMON]
    for name in own(task):
        values = [record.own.get(name) for _, record in pairs]
        arrays.append(_vectors(values, fixed.field(name).type) if name == "embedding" else _array(values, fixed, name))
    return _with_row_columns(fixed, arrays, pairs, task, known)


def failures_table(entries: Sequence[Entry], task: TaskName, known: RowTypes) -> tuple[pa.Table, RowTypes]:
    """The dead letters, with a held-back answer under `answer` in `extra`; and the row's columns as known now."""
    pairs = [(entry.seq, entry.record) for entry in entries if isinstance(entry.record, FailureRecord)]
    fixed = schema("failures", task)
    arrays = [_common(name, pairs, task, fixed) for name in COMMON]
    for name in DEAD:
        values = [_as_json(record.row) if name == "row" else getattr(record, name) for _, record in pairs]
        arrays.append(_array(values, fixed, name))
    return _with_row_columns(fixed, arrays, pairs, task, known)


def _common(name: str, pairs: Sequence[tuple[int, Any]], task: TaskName, fixed: pa.Schema) -> pa.Array:
    if name == "seq":
        values: list[Any] = [seq for seq, _ in pairs]
    elif name == "task":
        values = [task] * len(pairs)
    elif name == "stale":
        values = [False] * len(pairs)
    elif name == "extra":
        values = [_as_json(_extra(record)) for _, record in pairs]
    else:
        values = [getattr(record, name) for _, record in pairs]
    return _array(values, fixed, name)


def _extra(record: Any) -> Mapping[str, Any]:
    answer = record.answer if isinstance(record, FailureRecord) else None
    return record.extra if answer is None else {**record.extra, "answer": encode_answer(answer)}


def encode_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The task's columns as JSON holds them: a vector as base64 of its little-endian floats."""
    return {name: base64.b64encode(v).decode() if isinstance(v, bytes) else v for name, v in answer.items()}


def decode_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `encode_answer`."""
    return {name: base64.b64decode(v) if name == "embedding" else v for name, v in answer.items()}


def _as_json(value: Mapping[str, Any]) -> str | None:
    return columns.json_text(value) if value else None


def _array(values: list[Any], fixed: pa.Schema, name: str) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, fixed.field(name).type)


def _table(fixed: pa.Schema, column: Any) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_arrays([_array(column(name), fixed, name) for name in fixed.names], schema=fixed)


def _dimension(records: Sequence[AnswerRecord]) -> int | None:
    """Floats of the embeddings, None where they differ or one is missing: pyarrow reads no NULL among vectors of one
    length before version 26."""
    sizes = {None if (vector := record.own.get("embedding")) is None else len(vector) // 4 for record in records}
    return sizes.pop() if len(sizes) == 1 else None


def _vectors(values: Sequence[bytes | None], type_: Any) -> pa.Array:
    """The raw float32 bytes side by side are the array's buffer: no float becomes a Python object."""
    import pyarrow as pa

    missing = [value is None for value in values]
    if pa.types.is_fixed_size_list(type_):
        blank = bytes(type_.list_size * 4)
        joined = b"".join([blank if value is None else value for value in values])
        floats = pa.Array.from_buffers(pa.float32(), len(joined) // 4, [None, pa.py_buffer(joined)])
        mask = pa.array(missing) if any(missing) else None
        return pa.FixedSizeListArray.from_arrays(floats, type=type_, mask=mask)
    joined = b"".join([value or b"" for value in values])
    floats = pa.Array.from_buffers(pa.float32(), len(joined) // 4, [None, pa.py_buffer(joined)])
    offsets = [0]
    for value in values:
        offsets.append(offsets[-1] + len(value or b"") // 4)
    mask = pa.array(missing) if any(missing) else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), floats, mask=mask)


def _with_row_columns(
    fixed: pa.Schema, arrays: list[pa.Array], pairs: Sequence[tuple[int, Any]], task: TaskName, known: RowTypes
) -> tuple[pa.Table, RowTypes]:
    import pyarrow as pa

    fields = list(fixed)
    types = dict(known)
    for name, values in _row_values([record.columns for _, record in pairs], reserved(task), list(types)).items():
        settled = types[name] = columns.settled(types.get(name), values)
        if settled is not None:
            fields.append(pa.field(name, columns.arrow_type(settled)))
            arrays.append(columns.array(values, settled))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields)), types


def _row_values(rows: Sequence[Mapping[str, Any]], ours: frozenset[str], known: Sequence[str]) -> dict[str, list[Any]]:
    """Stored name → the values of all rows; names that are known come first, new ones in the order they appear.

    What goes beyond `MOST_COLUMNS` names is JSON in one column.
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
