"""ocr: a picture in, its text out, with positions where the service gives them."""

from __future__ import annotations

from typing import Any

from pipeline.job.schema import JobFile
from pipeline.tasks.conversation import conversation
from pipeline.tasks.prompts import OCR
from pipeline.types import Reply, Request, Row, TaskFacts

FACTS = TaskFacts(
    columns={"ocr_text": "text", "blocks": "blocks"},
    capability="ocr",
    pages="each",
    may_be_empty=True,  # an image may have no text
)


def ask(row: Row, job: JobFile) -> Request:
    """The request that reads the row's picture."""
    return conversation("ocr", FACTS, row, job, OCR)


def columns(reply: Reply, request: Request) -> dict[str, Any]:
    """`ocr_text`: the text, outer white space removed. `blocks`: with positions, None where the service gives none."""
    return {"ocr_text": (reply.text or "").strip(), "blocks": reply.blocks}
