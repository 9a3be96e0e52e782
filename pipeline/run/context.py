"""Everything that is known of a job before its first row: task, provider, model, endpoint, checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.errors import refusal
from pipeline.job.load import LoadedJob
from pipeline.media.limits import FitOptions
from pipeline.media.pdf import DPI
from pipeline.providers import Provider
from pipeline.providers.budgets import budget_problem
from pipeline.providers.cost import worst_case
from pipeline.providers.media_options import audio_limits, image_limits, shrunk_limits, video_limits
from pipeline.providers.model import Model
from pipeline.providers.prices import region_of
from pipeline.run.meaning import ask
from pipeline.store.datasets import TASK_TYPES
from pipeline.tasks import Task
from pipeline.tasks.answer import AnswerReader
from pipeline.types import Endpoint, MediaLimits, Request, Row

OFFLINE_DIMENSION = 1536
"""The length of every vector of the embedded service."""


class JobContext(msgspec.Struct, frozen=True, kw_only=True):
    """A job with its task, provider, model and endpoint."""

    spec: LoadedJob
    task: Task
    provider: Provider
    model: Model
    endpoint: Endpoint
    answer: AnswerReader | None = None

    @property
    def provider_name(self) -> str:
        """Returns the name for the records: the provider's name, or `offline`."""
        return "offline" if self.spec.offline else self.spec.job.provider.name

    @property
    def dimension(self) -> int | None:
        """Returns the length of this job's vectors; None if the job makes no vectors or their length is not known."""
        return self.model.dimension(self.spec.job.provider.parameters) if self.task.FACTS.embeds else None

    @property
    def typed(self) -> dict[str, str]:
        """Name → SQL type of the columns that [answer] adds."""
        columns = self.answer.columns if self.answer is not None else ()
        return {column.name: TASK_TYPES[column.type] for column in columns}

    @property
    def fit_options(self) -> FitOptions:
        """Returns how pictures are fitted.

        They are upright for ocr: the positions of text are positions in the picture as a person sees it.
        """
        media = self.spec.job.media
        return FitOptions(
            resize=media.resize,
            upright=self.task.FACTS.capability == "ocr",
            truncated=media.truncated,
            dpi=media.dpi or DPI,
        )

    def ask(self, row: Row) -> Request:
        """Returns the request of a row that has no problem.

        Raises Fault for a row that asks nothing, or that leaves out a medium which the row names.
        """
        return ask(self.task, row, self.spec.job)

    def media_limits(self, parameters: Mapping[str, Any]) -> Mapping[str, MediaLimits]:
        """Returns the limits for each kind of media, for a request with these parameters."""
        local = self.provider.local_files(self.model, self.endpoint)
        audio = audio_limits(self.model, local)
        if parameters.get("auto_truncation") is True:
            audio = msgspec.structs.replace(audio, max_seconds=None)
        images = image_limits(self.model, local, parameters)
        images = shrunk_limits(images, self.model, self.spec.job.media.max_tokens)
        return {"image": images, "audio": audio, "video": video_limits(self.model, local)}

    def reserved(self, request: Request) -> float | None:
        """Returns the amount that an attempt reserves from the budget; None if the job has no budget.

        Raises the same Fault as `worst_cost`.
        """
        return None if self.spec.job.budget.max_cost is None else self.worst_cost(request)

    def worst_cost(self, request: Request) -> float | None:
        """Returns the most that one attempt at a request can cost; None offline or if the cost is not known.

        Raises Fault (`Local.UnknownCost`) if the cost is not known and the job has a budget.
        """
        if self.spec.offline:
            return None
        worst = worst_case(request, self.model)
        if worst is None and self.spec.job.budget.max_cost is not None:
            why = budget_problem(self.model, self.task.FACTS, request.parameters, region_of(self.endpoint.base_url))
            unknown = "the tokens of its pictures, sounds or videos cannot be counted"
            raise refusal("UnknownCost", f"budget.max_cost cannot be kept for this row: {why or unknown}")
        return worst
