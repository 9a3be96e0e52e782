"""caption: a picture or a frame list in, a description out."""

from __future__ import annotations

from typing import Any

from pipeline.job.schema import JobFile
from pipeline.tasks.conversation import conversation
from pipeline.tasks.prompts import CAPTION, CAPTION_VIDEO
from pipeline.types import Frames, Media, Reply, Request, Row, TaskColumn, TaskFacts

FACTS = TaskFacts(columns=(TaskColumn("caption", "text", "The text that the model wrote."),), capability="caption")


def ask(row: Row, job: JobFile) -> Request:
    """Returns the request to describe the row's pictures."""
    return conversation("caption", FACTS, row, job, CAPTION_VIDEO if _is_video(row) else CAPTION)


def _is_video(row: Row) -> bool:
    """Tells whether the row shows a video, as frames or as a file."""
    if row.frames is not None or row.videos:
        return True
    shown = (item.content for item in row.contents)
    return any(isinstance(one, Frames) or (isinstance(one, Media) and one.kind == "video") for one in shown)


def columns(reply: Reply, request: Request) -> dict[str, Any]:
    """Returns the column `caption`: the description, without outer white space."""
    return {"caption": (reply.text or "").strip()}
