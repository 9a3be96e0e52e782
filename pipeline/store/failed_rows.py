"""Failed rows to look at again: choosing them in SQL, and making a held-back answer the row's answer."""

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
"""What `reprocess` sends when nothing else is said."""


class FailedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An open failure. `manifest_fingerprint`: the fingerprint of its manifest row then; an answer with other settings
    names it, to count for the row in later runs. `row`: the manifest row as it was, with absolute paths."""

    id: str
    seq: int
    manifest_fingerprint: str
    fault: str
    code: str
    row: Mapping[str, Any]


def failed_rows(output: Path, task: TaskName, where: str | None = None) -> Iterator[FailedRow]:
    """The open failures that the SQL condition picks, over all columns of the view `failures`, oldest first.

    Raises QueryError.
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
    """Those of the ids that were ever answered, each with the fingerprints that were."""
    found: dict[str, set[str]] = {}
    for id_, fingerprint in query(connect(output, task), block("answered"), {"ids": list(ids)}).fetchall():
        found.setdefault(id_, set()).add(fingerprint)
    return found


def accept(store: Store, where: str | None = None) -> int:
    """Makes the held-back answers of the open suspects that the SQL condition picks their rows' answers.

    Returns how many; failures without a held-back answer are passed over. Raises QueryError and MachineError.
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
    """A condition of the user's as a part of a statement of ours."""
    # On a line of its own, so that a trailing comment cannot swallow the rest.
    return f"(\n{where}\n)"


def _rows(batch: pa.RecordBatch, known: Sequence[str]) -> Iterator[tuple[dict[str, Any], str | None, str | None]]:
    """Each failure with what `current` says of it. Names are DuckDB's: Arrow's end at a NUL."""
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
