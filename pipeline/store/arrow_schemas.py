"""The columns of everything that is written, in product order, as Arrow schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.tasks import facts
from pipeline.types import ColumnType, TaskName

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 2
READABLE = (1, 2)
"""Formats of an output folder that this version reads: its own and the one before. A run brings a folder of format 1 to
format 2 (upgrade.py); a version that knows only format 1 refuses it from then on: it would take the columns below for
the user's own, and send dismissed rows again."""

ADDED = {2: frozenset(("tier", "shared_with", "shared", "done", "repeated", "remaining"))}
"""Columns of ours that a format added: a row column of that name in an older part is the user's own."""

DERIVED_IDS = 2
"""By which rule a new output derives the ids of rows that have none (`manifest.rows.InputRules`)."""

COMMON = (
    "id",
    "seq",
    "task",
    "provider",
    "model",
    "fingerprint",
    "run_id",
    "attempt_count",
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "media_tokens",
    "cost",
    "currency",
    "tier",
    "shared_with",
    "request_id",
    "finish_reason",
    "finished_at",
    "source",
    "extra",
    "stale",
)
DEAD = ("fault", "code", "http_status", "message", "row")
"""What a failure has after the common columns."""

DATASETS = ("results", "failures", "attempts", "turns", "dismissed", "current", "runs")


DISMISSAL = ("dismissed_at", "dismissed_reason")
"""What the view `dismissed` has besides the columns of a failure."""

OTHERS = "other_columns"
"""A JSON object of the columns that a row has beyond the first `MOST_COLUMNS` of an output."""

MOST_COLUMNS = 2_000
"""Row columns of an output that have a column of their own. Rows whose column names never repeat would make a million
columns, and no reader opens such a table."""


def own(task: TaskName) -> tuple[str, ...]:
    """The columns of a task's results after the common ones."""
    return tuple(facts(task).columns)


def reserved(task: TaskName) -> frozenset[str]:
    """Names of ours in lower case: a row column of that name is stored as `row_<name>`, alike in both datasets."""
    return frozenset((*COMMON, *own(task), *DEAD, *DISMISSAL, OTHERS))


def free_name(dataset: str, task: TaskName) -> str:
    """A name that no part of this dataset has as a column: one of ours, reserved, that stands in other datasets."""
    names = schema(dataset, task).names
    return next(name for name in (*DEAD, *own(task)) if name not in names)


def schema(dataset: str, task: TaskName, dimension: int | None = None) -> pa.Schema:
    """The fixed columns of a dataset, without the row's own. `dimension`: floats of an embedding, None: not known."""
    import pyarrow as pa

    types = _types(task, dimension)
    names = {
        "results": (*COMMON, *own(task)),
        "failures": (*COMMON, *DEAD),
        "attempts": _ATTEMPTS,
        "turns": _TURNS,
        "dismissed": ("seq", "id", "fingerprint", *DISMISSAL, "undone"),
        "current": ("seq", "id", "fingerprint", "stamp"),
        "runs": _RUNS,
    }[dataset]
    return pa.schema([(name, types[name]) for name in names])


def schema_of_format(dataset: str, task: TaskName, format_: int) -> pa.Schema:
    """The fixed columns of a dataset as a format had them."""
    import pyarrow as pa

    later = frozenset().union(*(names for number, names in ADDED.items() if number > format_))
    return pa.schema([field for field in schema(dataset, task) if field.name not in later])


_ATTEMPTS = (
    "id",
    "fingerprint",
    "run_id",
    "attempt",
    "started_at",
    "latency_ms",
    "http_status",
    "fault",
    "code",
    "request_id",
    "input_tokens",
    "output_tokens",
    "cost",
    "currency",
)
_TURNS = (
    "seq",
    "id",
    "fingerprint",
    "run_id",
    "turn",
    "answer",
    "finished_at",
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "media_tokens",
    "cost",
    "currency",
    "request_id",
    "finish_reason",
    "extra",
)
_RUNS = (
    "run_id",
    "started_at",
    "finished_at",
    "exit_code",
    "stop_reason",
    "rows",
    "sent",
    "answered",
    "shared",
    "failed",
    "done",
    "repeated",
    "remaining",
    "cost",
    "currency",
    "skipped",
    "left",
    "command",
    "task",
    "provider",
    "model",
)


def _types(task: TaskName, dimension: int | None) -> dict[str, Any]:
    import pyarrow as pa

    text, whole, small, real = pa.string(), pa.int64(), pa.int32(), pa.float64()
    utc = pa.timestamp("us", tz="UTC")
    block = pa.struct([("text", text), ("score", real), ("polygon", pa.list_(pa.list_(real))), ("page", small)])
    kinds: dict[Any, tuple[str, ...]] = {
        whole: (
            *("seq", "latency_ms", "input_tokens", "output_tokens", "media_tokens"),
            *("rows", "sent", "answered", "shared", "failed", "done", "repeated", "remaining", "skipped", "left"),
        ),
        small: ("attempt_count", "attempt", "turn", "http_status", "exit_code"),
        real: ("cost",),
        utc: ("started_at", "finished_at", "dismissed_at"),
        pa.list_(text): ("source",),
        pa.bool_(): ("stale", "undone"),
    }
    types = dict.fromkeys((*COMMON, *DEAD, *_ATTEMPTS, *_TURNS, *_RUNS, "stamp", "dismissed_reason"), text)
    types.update({name: type_ for type_, names in kinds.items() for name in names})
    of_task: dict[ColumnType, Any] = {
        "text": text,
        "list of text": pa.list_(text),
        "blocks": pa.list_(block),
        "vector": pa.list_(pa.float32()) if dimension is None else pa.list_(pa.float32(), dimension),
    }
    types.update({name: of_task[type_] for name, type_ in facts(task).columns.items()})
    return types
