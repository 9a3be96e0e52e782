"""The columns of every dataset, each declared once: the Arrow schemas, the tables and README.md are made from this."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args, get_type_hints

from pipeline.counters import Counters, metrics_of
from pipeline.tasks import facts
from pipeline.types import ColumnType, TaskName

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 2
READABLE = (1, 2)
"""Formats of an output folder that this version reads: its own and the one before. A run brings a folder of format 1 to
format 2 (upgrade.py). A version that knows format 1 only refuses the folder from then on: that version would take the
columns of format 2 for the user's own, and would send dismissed rows again."""

DERIVED_IDS = 2
"""The rule by which a new output derives the ids of rows that have none (`manifest.rows.InputRules`)."""

OTHERS = "other_columns"
"""A JSON object of the columns that a row has beyond the first `MOST_COLUMNS` of an output."""

MOST_COLUMNS = 2_000
"""Row columns of an output that have a column of their own. Rows whose column names never repeat would make a million
columns, and no reader opens such a table."""

BLOCKS = "STRUCT(text VARCHAR, score DOUBLE, polygon DOUBLE[][], page INTEGER)[]"


class Column(NamedTuple):
    """One column. `type` is the SQL type that readers see. `since` is the format that added the column: in a part of an
    older format, a column of that name is the user's own."""

    name: str
    type: str
    meaning: str
    since: int = 1


ID = Column("id", "VARCHAR", "The row's id: from the manifest, or derived.")
SEQ = Column("seq", "BIGINT", "Rises with every record of the output; the highest is the newest.")
FINGERPRINT = Column("fingerprint", "VARCHAR", "Stands for the question: media, text, model and settings.")
RUN_ID = Column("run_id", "VARCHAR", "The run that wrote the row.")
PROVIDER = Column("provider", "VARCHAR", "The provider's name in the job.")
MODEL = Column("model", "VARCHAR", "The model's name.")
TASK = Column("task", "VARCHAR", "The task: `caption`, `ocr`, `embed`, `ask`, or one of another package.")
LATENCY = Column("latency_ms", "BIGINT", "Milliseconds of the answering or last attempt.")
INPUT_TOKENS = Column("input_tokens", "BIGINT", "Tokens of the input; NULL: not known.")
OUTPUT_TOKENS = Column("output_tokens", "BIGINT", "Tokens of the output; NULL: not known.")
MEDIA_TOKENS = Column("media_tokens", "BIGINT", "Those of the input tokens that stand for media.")
COST = Column("cost", "DOUBLE", "The price in `currency`; NULL: not known.")
CURRENCY = Column("currency", "VARCHAR", "The currency of `cost`, as `CNY`.")
REQUEST_ID = Column("request_id", "VARCHAR", "The provider's id of the request.")
FINISH_REASON = Column("finish_reason", "VARCHAR", "Why the model stopped, in the provider's word.")
FINISHED_AT = Column("finished_at", "TIMESTAMPTZ", "When the outcome was there.")
EXTRA = Column("extra", "VARCHAR", "A JSON object of further facts of the provider and of the preparation.")
FAULT = Column("fault", "VARCHAR", "The kind of failure, as `throttled`.")
CODE = Column("code", "VARCHAR", "The provider's code, or a code of ours that begins with `Local.`.")
HTTP_STATUS = Column("http_status", "INTEGER", "The status of the reply; NULL: there was no reply.")

OUTCOME_COLUMNS = (
    ID,
    SEQ,
    TASK,
    PROVIDER,
    MODEL,
    FINGERPRINT,
    RUN_ID,
    Column("attempt_count", "INTEGER", "Requests that were sent for the row; 0: the answer is shared."),
    LATENCY,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    MEDIA_TOKENS,
    COST,
    CURRENCY,
    Column("tier", "VARCHAR", "How the answer was bought, as `realtime`; NULL: nothing was sent.", since=2),
    Column("shared_with", "VARCHAR", "The id of the row whose request brought this outcome.", since=2),
    REQUEST_ID,
    FINISH_REASON,
    FINISHED_AT,
    Column("source", "VARCHAR[]", "The row's media references in order, without keys."),
    EXTRA,
    Column("stale", "BOOLEAN", "The answer is to an earlier question: the row has changed since."),
)
FAILURE_COLUMNS = (
    FAULT,
    CODE,
    HTTP_STATUS,
    Column("message", "VARCHAR", "What happened, and what to do."),
    Column("row", "VARCHAR", "The manifest row as a JSON object, with absolute paths."),
)
"""The columns of a failure after the columns of every outcome."""
DISMISSAL_COLUMNS = (
    Column("dismissed_at", "TIMESTAMPTZ", "When the failure was dismissed or opened again."),
    Column("dismissed_reason", "VARCHAR", "The reason that the person gave."),
)
"""What the view `dismissed` has besides the columns of a failure."""

_FIXED = {
    "attempts": (
        ID,
        FINGERPRINT,
        RUN_ID,
        Column("attempt", "INTEGER", "Number of the attempt at the row, from 1."),
        Column("started_at", "TIMESTAMPTZ", "When the request was sent."),
        Column("latency_ms", "BIGINT", "Milliseconds from sending to the end of the reply."),
        HTTP_STATUS,
        FAULT,
        CODE,
        REQUEST_ID,
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        COST,
        CURRENCY,
    ),
    "turns": (
        SEQ,
        ID,
        FINGERPRINT,
        RUN_ID,
        Column("turn", "INTEGER", "Number of the question in the conversation, from 1."),
        Column("answer", "VARCHAR", "The answer to this question."),
        FINISHED_AT,
        LATENCY,
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        MEDIA_TOKENS,
        COST,
        CURRENCY,
        REQUEST_ID,
        FINISH_REASON,
        EXTRA,
    ),
    "dismissed": (
        SEQ,
        ID,
        FINGERPRINT,
        *DISMISSAL_COLUMNS,
        Column("undone", "BOOLEAN", "The failure was opened again."),
    ),
    "current": (
        SEQ,
        ID,
        FINGERPRINT,
        Column("stamp", "VARCHAR", "Stands for the row as long as its files keep path, size and time."),
    ),
}
_RUN = (
    RUN_ID,
    Column("started_at", "TIMESTAMPTZ", "When the run began."),
    Column("finished_at", "TIMESTAMPTZ", "When the run ended; NULL: it was killed, or goes on."),
    Column("exit_code", "INTEGER", "The exit code of the command."),
    Column("stop_reason", "VARCHAR", "Why the run stopped before the end."),
    Column("rows", "BIGINT", "Lines of the manifest."),
    Column("sent", "BIGINT", "Rows for which a call began."),
    Column("answered", "BIGINT", "Rows whose answer was bought."),
    Column("shared", "BIGINT", "Rows that share an answer: nothing was bought.", since=2),
    Column("failed", "BIGINT", "Rows whose failure is open at the end."),
    Column("done", "BIGINT", "Rows that needed nothing.", since=2),
    Column("repeated", "BIGINT", "Lines whose derived id stood before.", since=2),
    Column("remaining", "BIGINT", "All other rows: not sent, or not finished.", since=2),
    Column("cost", "DOUBLE", "What the run spent, in `currency`."),
    CURRENCY,
    Column("skipped", "BIGINT", "The older name of `done`."),
    Column("left", "BIGINT", "Those of `remaining` that this run was to send."),
    Column("command", "VARCHAR", "`run`, `reprocess` or the like."),
    TASK,
    PROVIDER,
    MODEL,
)


def _counter_columns() -> tuple[Column, ...]:
    """The counters of a run that are not among `_RUN`."""
    types = {name: (type_, *get_args(type_)) for name, type_ in get_type_hints(Counters).items()}
    return tuple(
        Column(name, "BIGINT" if int in types[name] else "DOUBLE", f"{metric.meaning}.", since=2)
        for name, metric in metrics_of(Counters).items()
        if name not in column_names(_RUN)
    )


TASK_TYPES: dict[ColumnType, str] = {
    "text": "VARCHAR",
    "number": "DOUBLE",
    "whole number": "BIGINT",
    "yes or no": "BOOLEAN",
    "list of text": "VARCHAR[]",
    "list of number": "DOUBLE[]",
    "list of whole number": "BIGINT[]",
    "list of yes or no": "BOOLEAN[]",
    "blocks": BLOCKS,
    "vector": "FLOAT[]",
}
"""The SQL type of what a task's column holds."""

DATASETS = ("results", "failures", "attempts", "turns", "dismissed", "current", "runs")
"""Every dataset is a folder of Parquet parts (layout.py)."""


def _fixed(dataset: str) -> tuple[Column, ...]:
    return (*_RUN, *_counter_columns()) if dataset == "runs" else _FIXED[dataset]


def task_columns(task: TaskName) -> tuple[Column, ...]:
    """The columns of a task's answers, which stand behind the columns of every outcome. Raises JobError."""
    return tuple(Column(name, TASK_TYPES[type_], meaning) for name, type_, meaning in facts(task).columns)


def declared(dataset: str, task: TaskName, format_: int = FORMAT) -> list[Column]:
    """The columns of a dataset as a format has them, in their order, without the row's own columns."""
    outcomes = {"results": task_columns(task), "failures": FAILURE_COLUMNS}
    own = outcomes.get(dataset)
    columns = _fixed(dataset) if own is None else (*OUTCOME_COLUMNS, *own)
    return [column for column in columns if column.since <= format_]


def column_names(columns: tuple[Column, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


def reserved(task: TaskName) -> frozenset[str]:
    """Names of ours: a row column of such a name, in any case, is stored as `row_<name>`, alike in both datasets."""
    ours = (*OUTCOME_COLUMNS, *task_columns(task), *FAILURE_COLUMNS, *DISMISSAL_COLUMNS)
    return frozenset((*column_names(ours), OTHERS))


def free_name(dataset: str, task: TaskName) -> str:
    """A name that no part of this dataset has as a column: a reserved name that stands in other datasets only."""
    taken = [column.name for column in declared(dataset, task)]
    return next(name for name in column_names((*FAILURE_COLUMNS, *task_columns(task))) if name not in taken)


def schema(dataset: str, task: TaskName, dimension: int | None = None, format_: int = FORMAT) -> pa.Schema:
    """The columns of a dataset as an Arrow schema, without the row's own columns.

    `dimension`: floats of an embedding, None: not known. `format_`: the format whose columns are meant.
    """
    import pyarrow as pa

    text, real, small = pa.string(), pa.float64(), pa.int32()
    block = pa.struct([("text", text), ("score", real), ("polygon", pa.list_(pa.list_(real))), ("page", small)])
    types = {
        "VARCHAR": text,
        "BIGINT": pa.int64(),
        "INTEGER": small,
        "DOUBLE": real,
        "BOOLEAN": pa.bool_(),
        "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
        "VARCHAR[]": pa.list_(text),
        BLOCKS: pa.list_(block),
        "FLOAT[]": pa.list_(pa.float32()) if dimension is None else pa.list_(pa.float32(), dimension),
    }
    return pa.schema([(column.name, types[column.type]) for column in declared(dataset, task, format_)])
