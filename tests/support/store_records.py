"""Records for store tests, with everything that a test does not care about filled in."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.store import AnswerRecord, AttemptRecord, FailureRecord, RunRecord, Store
from pipeline.store.diff import Counts, ManifestDiff, State
from pipeline.store.read import connect

WHEN = 1_790_000_000_123_456
COMMON: dict[str, Any] = {
    "provider": "dashscope",
    "model": "qwen3-vl-plus",
    "run_id": "run-1",
    "attempt_count": 1,
    "finished_at": WHEN,
}


def answer(id_: str, fingerprint: str = "A", text: str | None = None, **more: Any) -> AnswerRecord:
    own = {"caption": text if text is not None else f"{id_} as {fingerprint}"}
    return AnswerRecord(**{**COMMON, "id": id_, "fingerprint": fingerprint, "own": own, **more})


def vector(id_: str, floats: Iterable[float], fingerprint: str = "A", **more: Any) -> AnswerRecord:
    own = {"embedding": np.asarray(list(floats), "<f4").tobytes(), "modalities": ["image"]}
    return AnswerRecord(**{**COMMON, "id": id_, "fingerprint": fingerprint, "own": own, **more})


def failure(id_: str, fingerprint: str = "A", fault: str = "rejected", **more: Any) -> FailureRecord:
    told = {"code": "Local.Test", "message": "no", "row": {"image": f"/pictures/{id_}"}}
    return FailureRecord(**{**COMMON, "id": id_, "fingerprint": fingerprint, "fault": fault, **told, **more})


def attempt(id_: str, number: int = 1, **more: Any) -> AttemptRecord:
    told = {"fingerprint": "A", "run_id": "run-1", "started_at": WHEN}
    return AttemptRecord(**{**told, "id": id_, "attempt": number, **more})


def run(run_id: str = "run-1", **more: Any) -> RunRecord:
    return RunRecord(
        **{"started_at": WHEN, "provider": "dashscope", "model": "qwen3-vl-plus", **more, "run_id": run_id}
    )


def keep(output: Path, *records: Any, task: Any = "caption", **more: Any) -> None:
    """One run that keeps these records, in order, and ends well."""
    with Store.open(output, task, run_id="run-1", **more) as store:
        add(store, *records)


def add(store: Store, *records: Any) -> None:
    for record in records:
        if isinstance(record, AnswerRecord):
            store.answer(record)
        elif isinstance(record, FailureRecord):
            store.failure(record)
        else:
            store.attempt(record)


def rows(output: Path, sql: str, task: Any = "caption") -> list[tuple[Any, ...]]:
    """One query. A connection that was opened early serves later ones too, as the views promise; a new output and one
    of vectors, whose dimension may change, are connected to anew."""
    known = (output / "runs" / "format.json").exists() and task != "embed"
    return (_connected if known else connect)(output, task).sql(sql).fetchall()


@functools.lru_cache(2)
def _connected(output: Path, task: Any) -> Any:
    return connect(output, task)


def manifest(rows_: Iterable[tuple[Any, ...]]) -> pa.RecordBatch:
    """A first pass over a manifest, from (id, fingerprint[, stamp[, given]]) per row."""
    full = [(*row, *(None, False)[len(row) - 2 :]) for row in rows_]
    return pa.record_batch(
        {
            "ordinal": pa.array(range(len(full)), pa.int64()),
            "id": pa.array([row[0] for row in full], pa.string()),
            "given": pa.array([row[3] for row in full], pa.bool_()),
            "where": pa.array([f"m.jsonl:{number + 1}" for number in range(len(full))], pa.string()),
            "fingerprint": pa.array([row[1] for row in full], pa.string()),
            "stamp": pa.array([row[2] for row in full], pa.string()),
            "lasting": pa.nulls(len(full), pa.bool_()),
        }
    )


def states(output: Path, *rows_: tuple[Any, ...], **more: Any) -> list[str]:
    """The state of each row of a manifest."""
    with ManifestDiff(output, "caption") as diff:
        diff.load([manifest(rows_)], **more)
        return [State(state).name.lower() for state in diff.states()]


def counts(output: Path, *rows_: tuple[Any, ...]) -> Counts:
    with ManifestDiff(output, "caption") as diff:
        diff.load([manifest(rows_)])
        return diff.counts()


def mark(output: Path, *rows_: tuple[Any, ...]) -> int:
    """What the start of a run over this manifest keeps; the number of marks."""
    with Store.open(output, "caption", run_id="run-1") as store, ManifestDiff(output, "caption") as diff:
        diff.load([manifest(rows_)])
        marks = diff.manifest_state()
        store.record_manifest_state(marks)
        return marks.count
