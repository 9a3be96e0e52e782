"""caption: a picture or a frame list in, a description out."""

from __future__ import annotations

from typing import Any

from pipeline.job.schema import Job
from pipeline.tasks.prompts import CAPTION, CAPTION_VIDEO
from pipeline.tasks.turns import conversation
from pipeline.types import Reply, Request, Row


def ask(row: Row, job: Job) -> Request:
    """The request that describes the row's pictures."""
    return conversation("caption", row, job, CAPTION_VIDEO if row.frames is not None else CAPTION)


def columns(reply: Reply, request: Request) -> dict[str, Any]:
    """`caption`: the description, outer white space removed."""
    return {"caption": (reply.text or "").strip()}
