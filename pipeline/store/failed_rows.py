"""Chooses failed rows by an SQL condition, and makes held-back answers the answers of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.store.datasets import OTHERS, reserved
from pipeline.store.read import connect, query, select_readonly
from pipeline.store.record_tables import decode_answer, outcome_fields
from pipeline.store.records import AnswerRecord
from pipeline.store.sql import block, reader
from pipeline.types import TaskName

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.store.store import Store

DEFAULT = "fault in ('throttled', 'transient', 'malformed')"
"""The failures that `reprocess` sends if no condition is given."""


class FailedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An open failure.

    `manifest_fingerprint`: the fingerprint of the manifest row when the row failed. An answer with other settings names
    this fingerprint, so that later runs count the answer for the row. `row`: the manifest row when the row failed, with
    absolute paths.
    """

    id: str
    seq: int
    manifest_fingerprint: str
    fault: str
    code: str
    row: Mapping[str, Any]


def failed_rows(output: Path, task: TaskName, where: str | None = None) -> Iterator[FailedRow]:
    """Yields the open failures that the SQL condition picks from the view `failures`, the oldest first.

    Without a condition, DEFAULT is used. Raises QueryError.
    """
    relation = select_readonly(output, task, block("failed", where=condition(where or DEFAULT)))
    for batch in reader(relation, 4_096):
        for found in batch.to_pylist():
            row = msgspec.json.decode(found["row"] or "{}")
            yield FailedRow(
                id=found["id"],
                seq=found["seq"],
                manifest_fingerprint=found["answers"],
                fault=found["fault"],
                code=found["code"],
                row=row,
            )


def answered(output: Path, task: TaskName, ids: Sequence[str]) -> dict[str, set[str]]:
    """Returns id → answered fingerprints. Ids that were never answered are left out."""
    found: dict[str, set[str]] = {}
    for id_, fingerprint in query(connect(output, task), block("answered"), {"ids": list(ids)}).fetchall():
        found.setdefault(id_, set()).add(fingerprint)
    return found


def accept(store: Store, where: str | None = None) -> int:
    """Accepts the held-back answers of open failures with the fault `suspect`: each becomes the answer of its row.

    `where`: an SQL condition that picks from these failures; None picks all of them. Failures without a held-back
    answer are left out. Returns the number of accepted answers. Raises QueryError and MachineError.
    """
    store.seal()
    relation = select_readonly(store.layout.output, store.task, block("held_back", where=condition(where or "true")))
    accepted = 0
    for batch in reader(relation, 1_024):
        for failure, answers, stamp in _rows(batch, relation.columns):
            store.answer(_accepted(failure, answers, stamp, reserved(store.task)))
            accepted += 1
    store.seal()
    return accepted


def condition(where: str) -> str:
    """Returns the user's condition in a form that can stand in one of our statements."""
    # The condition has its own line. Otherwise a comment at its end would hide the rest of the statement.
    return f"(\n{where}\n)"


def _rows(batch: pa.RecordBatch, known: Sequence[str]) -> Iterator[tuple[dict[str, Any], str | None, str | None]]:
    """Yields (failure, manifest fingerprint, stamp). Fingerprint and stamp are those in `current`.

    `known`: the column names as DuckDB gives them. Arrow's column names end at a NUL.
    """
    *columns, manifest_fingerprints, stamps = [column.to_pylist() for column in batch.columns]
    for values, answer, stamp in zip(zip(*columns, strict=True), manifest_fingerprints, stamps, strict=True):
        yield dict(zip(known, values, strict=False)), answer, stamp


def _accepted(
    failure: dict[str, Any], manifest_fingerprint: str | None, stamp: str | None, ours: frozenset[str]
) -> AnswerRecord:
    extra = msgspec.json.decode(failure["extra"])
    answer = decode_answer(extra.pop("answer"))
    columns = {name: value for name, value in failure.items() if name.lower() not in ours}
    columns |= msgspec.json.decode(failure.get(OTHERS) or "{}")
    return AnswerRecord(
        **outcome_fields(failure),
        extra=extra,
        own=answer,
        columns=columns,
        manifest_fingerprint=manifest_fingerprint if manifest_fingerprint != failure["fingerprint"] else None,
        stamp=stamp,
    )
