"""Checks whether any row of a job could be sent. A reason that refuses every row is an error of the job.

Rows of every form are tried against the task and the provider's checks, without a manifest. If the columns of a table
are known, only the forms that these columns can give are tried.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import tasks
from pipeline.errors import Fault
from pipeline.job.schema import JobFile
from pipeline.job.values import did_you_mean, nearest
from pipeline.manifest.rows import FIELDS, Shaper
from pipeline.run.meaning import question_column
from pipeline.run.request_media import blank, to_be_cut, with_frames
from pipeline.types import Frames, Item, Media, MediaKind, Message, Row

if TYPE_CHECKING:
    from pipeline.run.context import JobContext

MOST_SHOWN = 20
"""The most columns of a table that a message lists."""

Pieces = dict[str, Any]


def refusal_of_all(context: JobContext, columns: tuple[str, ...] | None = None) -> str | None:
    """Returns the reason that would refuse every row, in words; None if some row could be sent.

    `columns`: the columns of the table, None if they are not known.
    """
    job = context.spec.job
    given = _given(job, columns)
    if columns is not None and (problem := _no_question(job, given, columns)):
        return problem
    forms = [pieces for fields, pieces in _forms(context) if columns is None or not fields or fields & given]
    if not forms:
        return _no_input(job, columns or ())
    refusals = [_refused(context, pieces) for pieces in forms]
    sent = next((pieces for pieces, refused in zip(forms, refusals, strict=True) if refused is None), None)
    if sent is None:
        return refusals[0]
    return _wrong_column(context, sent)


def _given(job: JobFile, columns: tuple[str, ...] | None) -> frozenset[str]:
    """Returns our fields that a table has."""
    names = Shaper(job, "/").names
    return frozenset(names[column] for column in columns or () if column in names)


def _forms(context: JobContext) -> list[tuple[frozenset[str], Pieces]]:
    """Returns every form of row that the task may take, the most usual form first.

    Each form is a pair: the fields that can give the form, and the pieces of a Row.
    """
    facts = context.task.FACTS
    every = [(frozenset({"image", "images", "contents"}), pieces) for pieces in _pieces(context, "image")]
    every += [
        (frozenset({field, "contents"}), p) for field in ("frames", "video", "audio") for p in _pieces(context, field)
    ]
    if facts.embeds:
        every += [(frozenset({"text", "contents"}), pieces) for pieces in _pieces(context, "text")]
    if facts.asks:
        every += [(frozenset({"messages"}), pieces) for pieces in _pieces(context, "messages")]
        every.append((frozenset(), {}))  # the question alone; the job or the row gives the question
    return every


def _pieces(context: JobContext, field: str) -> list[Pieces]:
    """Returns the pieces of a Row that one of our fields can become. Empty for a field that no check depends on."""
    if field in ("image", "images"):
        return [{"images": (_medium(context, "image"),)}]
    if field in ("frames", "fps", "max_frames"):
        return [{"frames": Frames(images=(_medium(context, "image"),) * (context.model.frame_limits.min or 4))}]
    if field == "video":
        files = (_medium(context, "video"), _local("video"))
        return [{"videos": (Item(content=file),)} for file in dict.fromkeys(files)]
    if field == "audio":
        return [{"audio": (_medium(context, "audio"),)}]
    if field == "messages":
        image = _medium(context, "image")
        turns = Message(role="user", text="a question", images=(image,)), Message(role="assistant", text="an answer")
        return [{"messages": turns}]
    if field == "prompts":
        return [{"prompts": ("a question",)}]
    return [{field: "some words"}] if field in ("text", "prompt", "system") else []


def _medium(context: JobContext, kind: MediaKind) -> Media:
    """Returns a medium in the form in which the job gives it to the service.

    The medium is a URL, since a URL is taken wherever a file is taken. If URLs are loaded here, it is a local file.
    """
    ref = f"https://service.invalid/{kind}"
    return _local(kind) if context.spec.job.media.fetch == "here" else Media(kind=kind, ref=ref, url=ref)


def _local(kind: MediaKind) -> Media:
    return Media(kind=kind, ref=f"/{kind}", path=f"/{kind}")


def _refused(context: JobContext, pieces: Pieces) -> str | None:
    job = context.spec.job
    # The row has its own prompt and system text. The job's texts need {columns} that only a row of the manifest has.
    asked = {} if context.task.FACTS.embeds else {"prompt": "a question", "system": job.prompt.system and "a role"}
    row = Row(ordinal=0, where="", id="", given=False, **{**asked, **pieces})
    try:
        request = context.task.ask(row, job)
        cut = to_be_cut(request, context)
        context.provider.check(
            with_frames(request, {video: blank(video, context) for video in cut}, context),
            context.model,
            context.endpoint,
        )
    except Fault as fault:
        if fault.code == "Local.UrlsOnly" and job.media.fetch == "here":
            return (
                f'media.fetch: "here" loads every picture, but {context.model.name} takes http(s) URLs only; '
                'set media.fetch = "service"'
            )
        return fault.message
    return None


def _wrong_column(context: JobContext, sent: Pieces) -> str | None:
    """Returns a message about an entry of [columns] whose field no row of this job may have, None without such an
    entry."""
    job = context.spec.job
    for field in FIELDS:
        column = getattr(job.columns, field)
        if column is None or field == "id":
            continue
        if field == "text" and not context.task.FACTS.embeds:
            return f"columns.text: texts are for embed; in the prompt of {job.task}, write {{{column}}}"
        forms = _pieces(context, field)
        if forms and all(_refused(context, one) and _refused(context, {**sent, **one}) for one in forms):
            return f"columns.{field}: {_refused(context, forms[0])}"
    return None


def _no_question(job: JobFile, given: frozenset[str], columns: tuple[str, ...]) -> str | None:
    if not tasks.facts(job.task).asks or job.prompt.text is not None:
        return None
    if not {"prompt", "prompts", "contents"}.isdisjoint(given):
        return None
    meant = question_column(columns)
    way = (
        f'write [columns] prompt = "{meant}"' if meant else "give the job a [prompt] text, or the table a column prompt"
    )
    return f"there is nothing to ask: {way}; the manifest has {_shown(columns)}"


def _no_input(job: JobFile, columns: tuple[str, ...]) -> str:
    embeds = tasks.facts(job.task).embeds
    wanted = ("image", "images", "audio", "video", "text") if embeds else ("image", "images", "frames", "video")
    what = "nothing to embed: no column gives an input" if embeds else "no column gives a picture"
    near = next((field for field in wanted if nearest(field, columns)), None)
    hint = did_you_mean(near, columns) if near else ""
    way = f'{", ".join(wanted[:-1])} or {wanted[-1]}, or write [columns] {near or wanted[0]} = "…" into the job'
    return f"{what}; the manifest has {_shown(columns)}{hint or ';'} call the column {way}"


def _shown(columns: tuple[str, ...]) -> str:
    listed = ", ".join(columns[:MOST_SHOWN])
    return listed if len(columns) <= MOST_SHOWN else f"{listed} and {len(columns) - MOST_SHOWN} more"
