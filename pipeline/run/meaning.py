"""Makes a row's request, and refuses a question without the picture that the row names.

A request without any medium is checked again. If the row names a picture, sound or video in a column that nothing uses,
the row is refused. With `media.unused = "ignore"`, the row is sent without the medium.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import Fault, JobError, refusal
from pipeline.job.load import LoadedJob
from pipeline.job.schema import JobFile
from pipeline.manifest.media_names import strong_kind
from pipeline.manifest.rows import Shaper
from pipeline.manifest.unused import Unused, find
from pipeline.providers.body import all_media
from pipeline.tasks import Task, facts
from pipeline.tasks.prompts import placeholders
from pipeline.types import Request, Row

MEDIA_FIELDS = frozenset({"image", "images", "frames", "video", "audio", "contents", "messages", "prompts"})
"""Fields that may hold media. A table with one of these fields is checked row by row."""

_QUESTIONS = frozenset({"question", "questions", "query", "instruction", "instructions", "q", "问题", "提问"})
_WORDS = {"image": "a picture", "audio": "a sound", "video": "a video", "frames": "a video", None: "a picture"}


def ask(task: Task, row: Row, job: JobFile) -> Request:
    """Returns the request of a row that has no problem. Raises the task's Faults, and Fault `Local.UnusedMedia`."""
    try:
        request = task.ask(row, job)
    except Fault as fault:
        raise _explained(fault, row, job) from None
    if job.media.unused == "refuse" and not all_media(request):
        _refuse_unused(row, job)
    return request


def check_schema(spec: LoadedJob, columns: tuple[str, ...]) -> None:
    """Raises JobError if no column of a table is a media field, and a column looks as if it should be a media field.

    Raises JobError also if a table without media fields has a column about the frames of a video (`fps`, `max_frames`).
    """
    job = spec.job
    if job.media.unused != "refuse":
        return
    names = Shaper(job, "/").names
    if not MEDIA_FIELDS.isdisjoint(names.get(column, "") for column in columns):
        return
    for column in columns:
        kind = strong_kind(column)
        if kind is not None:
            raise JobError(
                f'{spec.name}: the manifest\'s column "{column}" looks like {_WORDS[kind]}, but nothing uses it: '
                f"{_outcome(job)}. {_way_in(job, column, kind)}. {_way_out()}"
            )
    lonely = _lonely_frame_field(dict.fromkeys(columns, True), job)
    if lonely is not None:
        raise JobError(f"{spec.name}: the manifest {_without_frames(lonely, job)} {_way_out()}")


def _refuse_unused(row: Row, job: JobFile) -> None:
    unused = find(row.raw, job.task)
    if unused is not None:
        raise refusal("UnusedMedia", _message(unused, row, job))
    fps = _lonely_frame_field(row.raw, job)
    if fps is not None:
        raise refusal("UnusedMedia", f"the row {_without_frames(fps, job)} {_way_out(again=True)}")


def _message(unused: Unused, row: Row, job: JobFile) -> str:
    way = _way_in(job, unused.column, unused.kind or "image", direct=unused.direct)
    as_text = ""
    if any(unused.column in placeholders(text) for text in (job.prompt.system, job.prompt.text) if text is not None):
        as_text = f" ({{{unused.column}}} in the prompt is text alone: the model does not look at it)"
    may = "may name" if unused.kind is None else "names"
    return (
        f'the column "{unused.column}" {may} {_WORDS[unused.kind]}, but nothing uses it{as_text}: '
        f"{_outcome(job)}. {way}. {_way_out(again=True)}"
    )


def _explained(fault: Fault, row: Row, job: JobFile) -> Fault:
    """Returns the task's fault. For a row without input or without prompt, the message also names the column that the
    user may have meant."""
    if fault.code == "Local.NoInput":
        unused = find(row.raw, job.task)
        if unused is not None:
            way = _way_in(job, unused.column, unused.kind or "image", direct=unused.direct)
            may = "may name" if unused.kind is None else "names"
            return refusal(
                "NoInput", f'{fault.message}. Its column "{unused.column}" {may} {_WORDS[unused.kind]}: {_lower(way)}'
            )
    if fault.code == "Local.NoPrompt" and (column := question_column(tuple(row.raw))) is not None:
        return refusal("NoPrompt", f'{fault.message}. Its column "{column}": write [columns] prompt = "{column}"')
    return fault


def question_column(columns: tuple[str, ...]) -> str | None:
    """Returns the column that most likely holds the question, None if no column does."""
    return next((column for column in columns if column.strip().lower() in _QUESTIONS), None)


def _lonely_frame_field(values: Mapping[str, Any], job: JobFile) -> str | None:
    if facts(job.task).embeds:
        return None
    columns = job.columns
    for column in (columns.fps or "fps", columns.max_frames or "max_frames"):
        if values.get(column) is not None:
            return column
    return None


def _without_frames(column: str, job: JobFile) -> str:
    return (
        f'gives "{column}", which is about the frames of a video, but no frames: {_outcome(job)}. '
        "Name them in the field frames, or the file in video."
    )


def _way_in(job: JobFile, column: str, field: str, *, direct: bool = True) -> str:
    if not direct:
        return f"Give it a column of its own that is called {field}"
    if column == field and getattr(job.columns, field) is not None:
        return f"Take [columns] {field} out of the job"
    renamed = f", or rename the column to {field}" if column != field else ""
    return f'Write [columns] {field} = "{column}" into the job{renamed}'


def _way_out(*, again: bool = False) -> str:
    resend = ", then pipeline reprocess --where \"code = 'Local.UnusedMedia'\"" if again else ""
    return f'If it is meant so: [media] unused = "ignore"{resend}'


def _outcome(job: JobFile) -> str:
    task = facts(job.task)
    if task.needs_image:
        return "every row would fail without a picture"
    if task.embeds:
        return "the text would be embedded and paid without it"
    return "the question would be sent and paid without the picture"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
