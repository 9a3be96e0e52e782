"""The guard that stops a run before it pays again for a whole table because the job was edited."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from pipeline.errors import JobError
from pipeline.job.load import LoadedJob
from pipeline.job.schema import Decision
from pipeline.job.values import did_you_mean, for_message
from pipeline.report.state import count, money
from pipeline.run.context import JobContext
from pipeline.run.output import connect, read_last_run
from pipeline.store import Store, read
from pipeline.store.diff import Counts

DECISIONS: tuple[str, ...] = get_args(Decision)
SHARE = 0.01
"""A share of the answered rows. If a run would send more than this share again, the run stops until the user decides
(product rule)."""


def question(context: JobContext) -> dict[str, Any]:
    """Returns what the job asks of every row, by the keys of the job file."""
    job = context.spec.job
    asked: dict[str, Any] = {
        "task": job.task,
        "provider.name": context.provider_name,
        "provider.model": job.provider.model,
        "provider.parameters": dict(job.provider.parameters),
        "prompt.system": job.prompt.system,
        "prompt.text": job.prompt.text,
        "media.resize": job.media.resize,
    }
    if job.media.frames is not None:
        # An unset value is left out, so that the questions of earlier versions compare equal.
        asked |= {"media.frames": job.media.frames, "media.frames_by": job.media.frames_by}
    if job.media.truncated != "refuse":
        asked["media.truncated"] = job.media.truncated
    if job.answer is not None:
        asked |= {f"answer.{name}": part for name, part in job.answer.table["properties"].items()}
        asked["answer"] = {name: part for name, part in job.answer.table.items() if name != "properties"}
    if job.media.dpi is not None:
        asked["media.dpi"] = job.media.dpi
    return dict(msgspec.json.decode(msgspec.json.encode(asked)))


def earlier_dimension(context: JobContext, store: Store) -> int | None:
    """Returns the number of floats in the vectors that already answer what the job asks.

    None: the output has no vectors, or the job now asks something else. Blocking.
    """
    previous = read_last_run(context.spec.output)
    asked_before = previous is None or not previous.questions or question(context) in previous.questions
    return store.schemas["results"].dimension if asked_before else None


def redo(context: JobContext, changed: str | None, counts: Counts) -> bool:
    """Tells whether rows that changed since they were answered are sent again. Blocking.

    `changed` (the option) goes before the job's `run.changed`. `redo` sends the changed rows, `keep` keeps their
    answers. The job's own `keep` holds only if the job was edited: if the job is the same, changed rows are sent. With
    `ask`, raises JobError if the job was edited and more than SHARE of the answered rows would be sent again. The error
    says what changed, how many rows would be sent and what they would cost.
    """
    if changed in ("keep", "redo"):
        return changed == "redo"
    if changed is None and context.spec.job.run.changed != "ask":
        return foreseen(context, counts)
    if counts.rebuy <= SHARE * counts.answered:
        return True
    edits = _edits(context)
    if not edits:
        return True
    raise JobError(
        f"{context.spec.name}: the job has changed, and {count(counts.rebuy, 'answered row')} of {counts.answered:,} "
        f"would be sent again{_price(context.spec, counts.rebuy)}. Changed: {'; '.join(edits)}. "
        "Decide with --changed redo (send them again) or --changed keep (keep their answers), "
        "or set run.changed in the job"
    )


def foreseen(context: JobContext, counts: Counts) -> bool:
    """Tells whether a run may send changed rows again, by the job alone. Never asks the user. Blocking."""
    return context.spec.job.run.changed != "keep" or not counts.rebuy or not _edits(context)


def decided(changed: str | None) -> str | None:
    """Returns the option unchanged. Raises JobError for an unknown value: a misspelt option must not buy answers."""
    if changed is None or changed in DECISIONS:
        return changed
    hint = did_you_mean(changed, DECISIONS)
    raise JobError(f"changed: found {for_message(changed)}, expected one of {', '.join(DECISIONS)}{hint}")


def _edits(context: JobContext) -> list[str]:
    """Returns each key in which the job's question differs from the question of some answered rows, in words."""
    previous = read_last_run(context.spec.output)
    now = question(context)
    before = next((asked for asked in (previous and previous.questions) or ({},) if asked != now), now)
    return [
        f"{key} was {_as_text(before.get(key))}, is {_as_text(value)}"
        for key, value in {**dict.fromkeys(before), **now}.items()
        if before.get(key) != value
    ]


def _as_text(value: Any) -> str:
    text = "not set" if value in (None, {}) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "…"


def _price(spec: LoadedJob, rows: int) -> str:
    sql = "select avg(cost), any_value(currency) from versions where cost is not null"
    average, currency = read.query(connect(spec), sql).fetchall()[0]
    return "" if average is None else f", at about {money(average * rows, currency)}"
