"""ocr: a picture in, its text out, with positions where the service gives them."""

from __future__ import annotations

from typing import Any

from pipeline.job.schema import JobFile
from pipeline.tasks.conversation import conversation
from pipeline.tasks.prompts import OCR
from pipeline.types import Reply, Request, Row, TaskColumn, TaskFacts

FACTS = TaskFacts(
    columns=(
        TaskColumn("ocr_text", "text", "The text in the image."),
        TaskColumn("blocks", "blocks", "The pieces of the text; `polygon`: pixels of the original image, upright."),
    ),
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
