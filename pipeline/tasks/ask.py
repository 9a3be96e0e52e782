"""ask: pictures, earlier turns and a question in, an answer out."""

from __future__ import annotations

from typing import Any

from pipeline.job.schema import JobFile
from pipeline.tasks.conversation import conversation
from pipeline.types import Reply, Request, Row, TaskColumn, TaskFacts

FACTS = TaskFacts(
    columns=(TaskColumn("answer", "text", "The answer, text or JSON."),),
    capability="ask",
    takes_audio=True,
    needs_image=False,
    asks=True,
    pages="together",
)


def ask(row: Row, job: JobFile) -> Request:
    """Returns the request that asks the row's question. There is no default prompt."""
    return conversation("ask", FACTS, row, job, None)


def columns(reply: Reply, request: Request) -> dict[str, Any]:
    """Returns the column `answer`: the reply's text, unchanged."""
    return {"answer": reply.text or ""}
