"""Foretells the cost of each question that a run has answered, so that `status` can say how far off the plan was."""

from __future__ import annotations

from pipeline.errors import QueryError
from pipeline.providers import tokens
from pipeline.providers.cost import expected
from pipeline.report.forecast import Forecast
from pipeline.run.context import JobContext
from pipeline.run.counting import Counting, counting
from pipeline.run.estimate_sharing import plus
from pipeline.run.learnt import Answers, Measured, answers_so_far, measured_of
from pipeline.run.output import read_last_run
from pipeline.run.work_item import WorkItem
from pipeline.types import Request, Usage

MEASURED = 1_000
"""Questions by which a run learns how the service counts. More of them teach nothing new, and each takes 15 µs."""


class Forecaster:
    """The forecast of one run: what a plan just before the run would have said of each question, without a tokenizer.

    Counts a question when its answer arrives, with the sizes of the pictures that were sent. `measured`: how the
    service counts, with the questions of this run.
    """

    def __init__(self, context: JobContext, answers: Answers | None, measured: Measured) -> None:
        self._model = context.model
        self._answers = answers
        self._counting: Counting = counting(context, measured, answers, tokenizer=None)
        self.measured = measured
        known = answers is not None or context.task.FACTS.embeds
        price = None if context.model.price is None else context.model.price.currency
        cost = None if price is None else 0.0
        output = None if answers is None or context.task.FACTS.embeds else 0.0
        self.forecast = Forecast(output_known=known, expected_output_tokens=output, expected_cost=cost, currency=price)

    def answered(self, work: WorkItem, usage: Usage) -> None:
        """Counts a question that was answered. `work.turns`: the questions before it."""
        request = work.request
        if request is None:
            return
        pages = 0 if work.document is None else work.document.pages
        questions = max(pages, len(work.turns) + 1 + len(request.follow_ups))
        output = 0.0 if self._answers is None else self._answers.mean / questions
        counted = self._counting.count(request, questions)
        found = self.forecast
        found.questions += 1
        found.expected_input_tokens = plus(found.expected_input_tokens, counted.total)
        found.expected_cost = plus(found.expected_cost, expected(request, self._model, output, counted))
        found.expected_output_tokens = plus(found.expected_output_tokens, output)
        if found.questions <= MEASURED:
            self._measure(request, usage)

    def _measure(self, request: Request, usage: Usage) -> None:
        if usage.input_tokens is None:
            return
        plain = tokens.count(request, self._model, "expected")
        if plain.total is None:
            return
        self.measured.whole.add(plain.total, usage.input_tokens)
        seen = tokens.media_tokens(request, self._model) or 0
        if usage.media_tokens is not None or not seen:
            markers = plain.total - plain.words - seen
            self.measured.text.add(plain.words, max(0, usage.input_tokens - (usage.media_tokens or 0) - markers))


def forecaster(context: JobContext) -> Forecaster | None:
    """Returns the forecaster of a run that is about to begin; None offline, where nothing is paid. Blocking."""
    spec = context.spec
    if spec.offline:
        return None
    before = read_last_run(spec.output)
    measured = measured_of(context.model.name, before.measured if before else ())
    try:
        answers = answers_so_far(spec)
    except QueryError:  # a forecast is no reason to send nothing
        answers = None
    return Forecaster(context, answers, measured)
