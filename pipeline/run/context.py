"""Everything of a job that is settled before its first row: task, provider, model, endpoint, checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline import providers, tasks
from pipeline.errors import Fault, JobError, refusal
from pipeline.job.load import LoadedJob, user_models
from pipeline.media.video_frames import require_video
from pipeline.providers import Provider
from pipeline.providers.budgets import budget_problem
from pipeline.providers.cost import worst_case
from pipeline.providers.media_limits import audio_limits, image_limits, video_limits
from pipeline.providers.models import Model, check_tables, find
from pipeline.providers.parameters import check_parameters
from pipeline.providers.prices import region_of
from pipeline.run.endpoint import endpoint
from pipeline.run.meaning import ask, check_schema
from pipeline.run.possible import refusal_of_all
from pipeline.tasks import Task
from pipeline.tasks.prompts import unknown_column
from pipeline.tasks.quality import Checks, checks
from pipeline.types import Endpoint, MediaLimits, Request, Row

OFFLINE_DIMENSION = 1536
"""The length of every vector of the embedded service."""


class JobContext(msgspec.Struct, frozen=True, kw_only=True):
    """A job with what it is carried out by."""

    spec: LoadedJob
    task: Task
    provider: Provider
    model: Model
    endpoint: Endpoint
    checks: Checks

    @property
    def provider_name(self) -> str:
        """As recorded: the provider's name, or `offline`."""
        return "offline" if self.spec.offline else self.spec.job.provider.name

    @property
    def dimension(self) -> int | None:
        """The length of this job's vectors, None if it makes none or their length is not known."""
        return self.model.dimension(self.spec.job.provider.parameters) if self.spec.job.task == "embed" else None

    @property
    def upright(self) -> bool:
        """Pictures are turned as their EXIF orientation says: positions of text mean the picture as it is seen."""
        return self.spec.job.task == "ocr"

    def ask(self, row: Row) -> Request:
        """The request of a row without a problem. Raises Fault for one that asks nothing, or not what was meant."""
        return ask(self.task, row, self.spec.job)

    def media_limits(self, parameters: Mapping[str, Any]) -> Mapping[str, MediaLimits]:
        """By kind of media, for a request with these parameters."""
        local = self.provider.local_files(self.model, self.endpoint)
        audio = audio_limits(self.model, local)
        if parameters.get("auto_truncation") is True:
            audio = msgspec.structs.replace(audio, max_seconds=None)
        images = image_limits(self.model, local, parameters)
        return {"image": images, "audio": audio, "video": video_limits(self.model, local)}

    def reserved(self, request: Request) -> float | None:
        """What an attempt at a request is to reserve of the budget; None without one. Raises Fault as `worst_cost`."""
        return None if self.spec.job.budget.max_cost is None else self.worst_cost(request)

    def worst_cost(self, request: Request) -> float | None:
        """The most that one attempt at a request can cost, None where that is not known.

        Raises Fault (`Local.UnknownCost`) where it is not known and the job has a budget.
        """
        if self.spec.offline:
            return None
        worst = worst_case(request, self.model)
        if worst is None and self.spec.job.budget.max_cost is not None:
            why = budget_problem(self.model, request.task, request.parameters, region_of(self.endpoint.base_url))
            unknown = "the tokens of its pictures, sounds or videos cannot be counted"
            raise refusal("UnknownCost", f"budget.max_cost cannot be kept for this row: {why or unknown}")
        return worst


def job_context(spec: LoadedJob, *, keyless: bool = False) -> JobContext:
    """Checks a job against its provider and model. Raises JobError for the first thing that cannot be.

    keyless: the key is not needed, because nothing will be sent.
    """
    job = spec.job
    own, shared = job.models, user_models()
    check_tables(own)
    check_tables(shared, "user-wide models")
    provider = providers.load(job.provider.name)
    place = endpoint(spec, provider, keyless=keyless)
    model = find(job.provider.name, job.provider.model, own, shared, place.base_url)
    try:
        provider.check_endpoint(model, place)
    except Fault as fault:
        raise spec.fail(fault.message) from None
    if model.tasks is not None and job.task not in model.tasks:
        raise spec.fail(f"provider.model: {model.name} is for {', '.join(model.tasks)}, not for {job.task}")
    for problem in check_parameters(job.provider.parameters, model, place):
        raise spec.fail(problem)
    if job.media.frames is not None:
        require_video()
    if job.budget.max_cost is not None and not spec.offline:
        why = budget_problem(model, job.task, job.provider.parameters, region_of(place.base_url))
        if why is not None:
            raise spec.fail(f"budget.max_cost cannot be kept: {why}")
    try:
        gate = checks(job.quality)
    except JobError as error:
        raise spec.fail(str(error)) from None
    made = JobContext(spec=spec, task=tasks.load(job.task), provider=provider, model=model, endpoint=place, checks=gate)
    impossible = _wrong_dimension(made) or refusal_of_all(made)
    if impossible is not None:
        raise spec.fail(impossible)
    return made


def _wrong_dimension(made: JobContext) -> str | None:
    """Vectors of a length that no answer will have."""
    found, expected = made.dimension, made.checks.dimension
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
    """Raises JobError where a prompt uses a column that the manifest is known not to have, where nothing uses one that
    looks like a picture's, and where no row could be sent."""
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
