"""Whether any row of a job could be sent: what every row would be refused for is wrong with the job.

Rows of every form are tried against the task and the provider's checks, without a manifest. Only forms that the columns
of a table can give are tried where the columns are known.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from pipeline.engines.meaning import question_column
from pipeline.errors import Fault
from pipeline.job.names import did_you_mean, nearest
from pipeline.job.schema import Job
from pipeline.manifest.rows import FIELDS, Shaper
from pipeline.types import Frames, Media, Message, Row

if TYPE_CHECKING:
    from pipeline.engines.setup import Setup

MOST_SHOWN = 20
"""Columns of a table that a message lists."""

Pieces = dict[str, Any]


def refusal_of_all(setup: Setup, columns: tuple[str, ...] | None = None) -> str | None:
    """What every row would be refused for, in words with the key of the job, or None. `columns`: of the table."""
    job = setup.spec.job
    given = _given(job, columns)
    if columns is not None and (problem := _no_question(job, given, columns)):
        return problem
    forms = [pieces for fields, pieces in _forms(setup) if columns is None or not given.isdisjoint(fields)]
    if not forms:
        return _no_input(job, columns or ())
    refusals = [_refused(setup, pieces) for pieces in forms]
    sent = next((pieces for pieces, refused in zip(forms, refusals, strict=True) if refused is None), None)
    if sent is None:
        return refusals[0]
    return _wrong_column(setup, sent)


def _given(job: Job, columns: tuple[str, ...] | None) -> Collection[str]:
    """The fields of ours that a table has."""
    names = Shaper(job, "/").names
    return {names[column] for column in columns or () if column in names}


def _forms(setup: Setup) -> list[tuple[frozenset[str], Pieces]]:
    """Every form of row that the task may take, the most usual first: (fields that can give it, pieces of a Row)."""
    task = setup.spec.job.task
    every = [
        (frozenset({"image", "images", "contents"}), _pieces(setup, "image")),
        (frozenset({"frames", "video", "contents"}), _pieces(setup, "frames")),
        (frozenset({"audio", "contents"}), _pieces(setup, "audio")),
    ]
    if task == "embed":
        every.append((frozenset({"text", "contents"}), _pieces(setup, "text")))
    if task == "ask":
        every.append((frozenset({"messages", "prompts"}), _pieces(setup, "messages")))
        every.append((frozenset(FIELDS), {}))  # the question alone
    return every


def _pieces(setup: Setup, field: str) -> Pieces:
    """A field of ours as the part of a Row that it becomes; {} for fields that no check depends on."""
    picture, sound = _medium(setup, "image"), _medium(setup, "audio")
    if field in ("image", "images"):
        return {"images": (picture,)}
    if field in ("frames", "fps", "max_frames"):
        return {"frames": Frames(pictures=(picture,) * (setup.model.frame_limits.min or 4))}
    if field == "audio":
        return {"audio": (sound,)}
    if field == "messages":
        turns = Message(role="user", text="a question", images=(picture,)), Message(role="assistant", text="an answer")
        return {"messages": turns}
    return {field: "some words"} if field in ("text", "prompt", "system") else {}


def _medium(setup: Setup, kind: Any) -> Media:
    """A medium as the job hands it to the service: a URL is the widest, unless URLs are loaded here."""
    ref = f"https://service.invalid/{kind}"
    if setup.spec.job.media.fetch == "here":
        return Media(kind=kind, ref=ref, path=f"/{kind}")
    return Media(kind=kind, ref=ref, url=ref)


def _refused(setup: Setup, pieces: Pieces) -> str | None:
    job = setup.spec.job
    asked = {} if job.task == "embed" else {"prompt": "a question"}
    row = Row(ordinal=0, where="", id="", given=False, **{**asked, **pieces})
    try:
        setup.provider.check(setup.task.ask(row, job), setup.model, setup.endpoint)
    except Fault as fault:
        if fault.code == "Local.UrlsOnly" and job.media.fetch == "here":
            return (
                f'media.fetch: "here" loads every picture, but {setup.model.name} takes http(s) URLs only; '
                'set media.fetch = "service"'
            )
        return fault.message
    return None


def _wrong_column(setup: Setup, sent: Pieces) -> str | None:
    """What is wrong with a column that [columns] names: a field that no row of this job may have."""
    job = setup.spec.job
    for field in FIELDS:
        column = getattr(job.columns, field)
        if column is None or field == "id":
            continue
        if field == "text" and job.task != "embed":
            return f"columns.text: texts are for embed; in the prompt of {job.task}, write {{{column}}}"
        pieces = _pieces(setup, field)
        alone = _refused(setup, pieces)
        if pieces and alone is not None and _refused(setup, {**sent, **pieces}) is not None:
            return f"columns.{field}: {alone}"
    return None


def _no_question(job: Job, given: Collection[str], columns: tuple[str, ...]) -> str | None:
    if job.task != "ask" or job.prompt.text is not None:
        return None
    if not {"prompt", "prompts", "contents"}.isdisjoint(given):
        return None
    meant = question_column(columns)
    way = (
        f'write [columns] prompt = "{meant}"' if meant else "give the job a [prompt] text, or the table a column prompt"
    )
    return f"there is nothing to ask: {way}; the manifest has {_shown(columns)}"


def _no_input(job: Job, columns: tuple[str, ...]) -> str:
    wanted = ("image", "images", "audio", "text", "contents") if job.task == "embed" else ("image", "images", "frames")
    what = "nothing to embed: no column gives an input" if job.task == "embed" else "no column gives a picture"
    near = next((field for field in wanted if nearest(field, columns)), None)
    hint = did_you_mean(near, columns) if near else ""
    way = f'{", ".join(wanted[:-1])} or {wanted[-1]}, or write [columns] {near or wanted[0]} = "…" into the job'
    return f"{what}; the manifest has {_shown(columns)}{hint or ';'} call the column {way}"


def _shown(columns: tuple[str, ...]) -> str:
    listed = ", ".join(columns[:MOST_SHOWN])
    return listed if len(columns) <= MOST_SHOWN else f"{listed} and {len(columns) - MOST_SHOWN} more"
