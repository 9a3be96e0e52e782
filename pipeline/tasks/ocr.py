"""ocr: a picture in, its text out, with positions if the service gives positions."""

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
    """Returns the request to read the row's picture."""
    return conversation("ocr", FACTS, row, job, OCR)


def columns(reply: Reply, request: Request) -> dict[str, Any]:
    """Returns the columns `ocr_text`, the text without outer white space, and `blocks`, the pieces of text with
    positions; None if the service gives no blocks."""
    return {"ocr_text": (reply.text or "").strip(), "blocks": reply.blocks}
