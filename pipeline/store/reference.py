"""The reference of an output folder: `python -m pipeline.store.reference` writes README.md beside this file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.store.datasets import (
    DISMISSAL_COLUMNS,
    FAILURE_COLUMNS,
    OUTCOME_COLUMNS,
    Column,
    declared,
    task_columns,
)
from pipeline.tasks import NAMES

PAGE = Path(__file__).with_name("README.md")
HEAD = """# The output folder

Written by `python -m pipeline.store.reference` from the columns that datasets.py declares.

| path | content |
| --- | --- |
| `catalog.sql` | the views below, for any DuckDB from 1.1 on: `.read catalog.sql` |
| `results/`, `failures/`, `attempts/` | Parquet parts with the rows of these datasets |
| `runs/` | Parquet parts, one for each run |
| `runs/current/` | what the manifest says now of each row that has an outcome |
| `runs/turns/` | answers within conversations |
| `runs/dismissed/` | failures that a person closed |
| `runs/format.json` | the format of the folder, and the task that the folder belongs to |
| `runs/summary.json`, `runs/job.json` | the figures and the job of the last run |
| `journal/` | outcomes that are not in a part yet |
| `run.lock` | held by the run that writes |

A part is named by the first and the last `seq` in the part. A merged part has a generation before `.parquet`, and
replaces the parts whose numbers lie within the numbers of the merged part. `000000000000-000000000000.parquet` has no
rows: this part lists all columns with their types. Read the parts through the views: the views leave out replaced
parts.

Each field of the job's `[answer]` is a column of `results` and `versions`, with the type that the field declares.

A row's other columns follow the columns below in `results` and `failures`, under their own names. A row column with
the name of a column below, in any case, is named `row_<name>`. Times are UTC. NULL means: not known, or does not apply.
"""
SPEND_COLUMNS = (
    Column("day", "DATE", "The day, in UTC."),
    Column("provider", "VARCHAR", "The provider's name in the job."),
    Column("model", "VARCHAR", "The model's name."),
    Column("currency", "VARCHAR", "The currency of `cost`."),
    Column("attempts", "BIGINT", "Requests that were sent."),
    Column("input_tokens", "BIGINT", "Tokens of the inputs."),
    Column("output_tokens", "BIGINT", "Tokens of the outputs."),
    Column("cost", "DOUBLE", "The sum of the known prices."),
    Column("unknown_cost_attempts", "BIGINT", "Requests whose price is not known."),
)
MEANINGS = {
    "results": "One row for each id: the answer to the row's current question, else the newest answer (`stale`).",
    "versions": "Every answer that is kept, with the columns of `results`.",
    "failures": "One row for each open failure.",
    "dismissed": "One row for each failure that a person closed, with the columns of `failures` after these.",
    "attempts": "One row for each request that was sent.",
    "turns": "One row for each answer within a conversation, other than the last.",
    "runs": "One row for each run. rows = answered + shared + failed + done + repeated + remaining.",
    "spend": "Requests, tokens and cost by day, provider, model and currency.",
}
EXAMPLES = {
    "Failures by kind": "select fault, code, count(*) as rows from failures group by all order by rows desc",
    "Cost of each day": "select day, currency, sum(cost) as cost from spend group by all order by day",
    "Rows whose answer is to an earlier question": "select id, finished_at from results where stale order by id",
    "The slowest answers": "select id, latency_ms from results order by latency_ms desc limit 10",
    "Rows that needed more than one request": "select id, attempt_count from results where attempt_count > 1",
    "What each run did": "select run_id, answered, failed, remaining, cost, currency from runs order by started_at",
    "Every answer of an id": "select id, model, finished_at from versions order by id, seq",
    "Failed requests by hour": (
        "select date_trunc('hour', started_at) as hour, fault, count(*) as requests from attempts "
        "where fault is not null group by all order by all"
    ),
}


def reference() -> str:
    """Returns the page as Markdown: the folder, each view with its columns, and the example queries."""
    examples = [f"{about}:\n\n```sql\n{query}\n```\n" for about, query in EXAMPLES.items()]
    views = [_section(view) for view in MEANINGS]
    return "\n".join([HEAD, "## Views\n", *views, "## Example queries\n", *examples])


def columns(view: str) -> Sequence[Column]:
    """Returns the columns of a view. Where the tasks differ, the columns of every task are returned.

    If a view also has the columns of another view, those columns are left out.
    """
    if view == "results":
        return (*OUTCOME_COLUMNS, *(column for task in NAMES for column in task_columns(task)))
    if view == "failures":
        return (*OUTCOME_COLUMNS, *FAILURE_COLUMNS)
    if view in ("versions", "dismissed"):
        return DISMISSAL_COLUMNS if view == "dismissed" else ()
    return SPEND_COLUMNS if view == "spend" else declared(view, "caption")


def _section(view: str) -> str:
    rows = [f"| `{column.name}` | {column.type} | {_meaning(column)} |" for column in columns(view)]
    table = ["| column | type | meaning |", "| --- | --- | --- |", *rows, ""] if rows else []
    return "\n".join([f"### {view}", "", MEANINGS[view], "", *table])


def _meaning(column: Column) -> str:
    tasks = [task for task in NAMES if column in task_columns(task)]
    return f"`{tasks[0]}`: {column.meaning}" if tasks else column.meaning


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
