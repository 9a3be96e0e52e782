"""Checks a job against its provider, model and manifest columns, makes its JobContext, and notes likely mistakes."""

from __future__ import annotations

import msgspec

from pipeline import providers, tasks
from pipeline.errors import Fault, JobError
from pipeline.job.answer import refuse_names
from pipeline.job.load import LoadedJob, user_models
from pipeline.job.values import did_you_mean, for_message
from pipeline.manifest.rows import Shaper
from pipeline.media.video_frames import require_video
from pipeline.providers import Provider, declared
from pipeline.providers.budgets import budget_problem
from pipeline.providers.edit_distance import meant
from pipeline.providers.media_options import shrinking_problem
from pipeline.providers.model import Model
from pipeline.providers.models import check_tables, find, names
from pipeline.providers.parameters import check_parameters
from pipeline.providers.prices import region_of
from pipeline.run.context import OFFLINE_DIMENSION, JobContext
from pipeline.run.endpoint import endpoint
from pipeline.run.meaning import check_schema
from pipeline.run.possible import refusal_of_all
from pipeline.store.datasets import reserved
from pipeline.tasks.answer import AnswerReader
from pipeline.tasks.prompts import unknown_column
from pipeline.tasks.quality import Gate
from pipeline.types import TaskFacts


def job_context(spec: LoadedJob, *, keyless: bool = False) -> JobContext:
    """Checks a job against its provider and model, and returns the job's context.

    Raises JobError for the first problem; MissingExtra if `media.frames` is set without the video extra. keyless: the
    key is not needed, because nothing will be sent.
    """
    job = spec.job
    own, shared = job.models, user_models()
    check_tables(own)
    check_tables(shared, "user-wide models")
    task = tasks.load(job.task)
    facts = task.FACTS
    if facts.embeds and (job.prompt.text is not None or job.prompt.system is not None):
        raise spec.fail("prompt: an embedding takes no prompt; put the words into the rows' text or contents")
    provider = _provider(spec)
    place = endpoint(spec, provider, keyless=keyless)
    model = find(job.provider.name, job.provider.model, own, shared, place.base_url)
    try:
        provider.check_endpoint(model, place)
    except Fault as fault:
        raise spec.fail(fault.message) from None
    if model.tasks is not None and facts.capability not in model.tasks:
        raise spec.fail(f"provider.model: {model.name} is for {', '.join(model.tasks)}, not for {job.task}")
    for problem in check_parameters(job.provider.parameters, model, place):
        raise spec.fail(problem)
    shrinking = shrinking_problem(model, job.media.max_tokens, job.media.resize)
    if shrinking is not None:
        raise spec.fail(shrinking)
    if job.media.frames is not None:
        require_video()
    if job.budget.max_cost is not None and not spec.offline:
        why = budget_problem(model, facts, job.provider.parameters, region_of(place.base_url))
        if why is not None:
            raise spec.fail(f"budget.max_cost cannot be kept: {why}")
    spec, reader = _typed(spec, facts, model)
    made = JobContext(spec=spec, task=task, provider=provider, model=model, endpoint=place, answer=reader)
    impossible = _wrong_dimension(made) or refusal_of_all(made)
    if impossible is not None:
        raise spec.fail(impossible)
    return made


def gate(context: JobContext, earlier: int | None = None) -> Gate:
    """The checks of a run's replies. earlier: as in Gate."""
    job = context.spec.job
    again = job.answer is not None and job.answer.again
    return Gate(job.quality, context.dimension, earlier, answer=context.answer, again=again)


def _typed(spec: LoadedJob, facts: TaskFacts, model: Model) -> tuple[LoadedJob, AnswerReader | None]:
    """The job with the form in which its schema is sent, and the reader of its answers. Raises JobError."""
    section = spec.job.answer
    if section is None:
        return spec, None
    if facts.embeds:
        raise spec.fail("answer: an embedding has no fields; take [answer] out")
    if "response_format" in spec.job.provider.parameters:
        raise spec.fail("provider.parameters.response_format: [answer] sets it; take one of them out")
    refuse_names(spec.name, section, reserved(spec.job.task))
    thinks = spec.job.provider.parameters.get("enable_thinking", model.thinking in ("on", "always"))
    usual = "prompt" if thinks else declared(model.provider, "ANSWER_FORM")
    section = msgspec.structs.replace(section, form=section.form or model.answer_form or usual)
    job = msgspec.structs.replace(spec.job, answer=section)
    return msgspec.structs.replace(spec, job=job), AnswerReader(section)


def _provider(spec: LoadedJob) -> Provider:
    """Returns the job's provider. Raises JobError if the provider is not known or does not speak the job's protocol."""
    section = spec.job.provider
    try:
        provider = providers.load(section.name)
    except JobError as error:
        raise spec.fail(str(error)) from None
    known = provider.PROTOCOLS
    if section.protocol is not None and section.protocol not in known:
        only = f"{section.name} speaks {known[0]!r} only; take it out" if len(known) == 1 else ""
        expected = only or f"expected one of {', '.join(known)}{did_you_mean(section.protocol, known)}"
        raise spec.fail(f"provider.protocol: found {for_message(section.protocol)}; {expected}")
    return provider


def _wrong_dimension(made: JobContext) -> str | None:
    """Returns a message if the job expects vectors of a length that no answer will have, else None."""
    found, expected = made.dimension, made.spec.job.quality.dimension
    if found is None:
        return None
    if made.spec.offline and found != OFFLINE_DIMENSION:
        return (
            f"the embedded service gives vectors of {OFFLINE_DIMENSION} numbers, {made.model.name} gives {found}: "
            f"with --offline, set the parameter for the dimension to {OFFLINE_DIMENSION}, or choose another model"
        )
    if not isinstance(expected, bool) and expected != found:
        return (
            f"quality.dimension: found {expected}, but {made.model.name} gives {found} numbers with these parameters: "
            "every answer would be paid and held back"
        )
    return None


def check_columns(made: JobContext, columns: tuple[str, ...] | None) -> None:
    """Checks a job against the columns of its manifest. Checks nothing if the columns are not known.

    Raises JobError if a prompt uses a column that the manifest does not have, if a column looks like media and nothing
    uses the column, and if no row could be sent.
    """
    if columns is None:
        return
    spec = made.spec
    check_schema(spec, columns)
    impossible = refusal_of_all(made, columns)
    if impossible is not None:
        raise spec.fail(impossible)
    for key, template in (("prompt.system", spec.job.prompt.system), ("prompt.text", spec.job.prompt.text)):
        problem = None if template is None else unknown_column(template, columns)
        if problem:
            raise spec.fail(f"{key}: {problem}")


def notes(spec: LoadedJob) -> tuple[str, ...]:
    """Returns the notes about a job, in words. Raises JobError for a wrong table of a model."""
    own, shared = spec.job.models, user_models()
    section = spec.job.provider
    if section.model in names(section.name) or find(section.name, section.model, own, shared).known:
        return ()
    near = meant(section.model, (*names(section.name), *own, *shared))
    if near is None:
        return ()
    return (
        f'provider.model: no model "{section.model}" is known; did you mean "{near}"? '
        f'The name is used as it is; a table [models."{section.model}"] in the job says that it is right',
    )


def column_notes(spec: LoadedJob, columns: tuple[str, ...] | None) -> tuple[str, ...]:
    """Returns notes about likely mistakes in the columns of a table; no note if the columns are not known."""
    if columns is None or Shaper(spec.job, "/").id_name in columns:
        return ()
    near = next((name for name in columns if name.strip(" _").lower() in ("id", "ids")), None)
    if near is None:
        return ()
    return (
        f'the column "{near}" is not the id: ids are made from the fields of each row. '
        f'If it is meant as the id: [columns] id = "{near}" (each row is then another one)',
    )
