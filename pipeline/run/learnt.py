"""What an output's earlier answers teach: how long answers are, and how the service counts the input. Blocking."""

from __future__ import annotations

import math

import msgspec

from pipeline.job.load import LoadedJob
from pipeline.store import read
from pipeline.tasks import facts

ENOUGH = 20
"""Questions that must be answered before a count is corrected by them."""
FOR_A_RANGE = 5
"""Answers that a range of the cost needs. With fewer, the range would be several times the cost."""
HIGH = 0.95
"""The share of the answers that is at most as long as the `high` length."""


class Ratio(msgspec.Struct, kw_only=True):
    """Tokens that were foretold and tokens that the service counted, summed over `questions`."""

    questions: int = 0
    foretold: int = 0
    counted: int = 0

    def add(self, foretold: int, counted: int) -> None:
        """Adds one question."""
        self.questions += 1
        self.foretold += foretold
        self.counted += counted

    @property
    def known(self) -> float | None:
        """The tokens that were counted for each token foretold; None for fewer than ENOUGH questions."""
        return self.counted / self.foretold if self.questions >= ENOUGH and self.foretold and self.counted else None


class Measured(msgspec.Struct, kw_only=True):
    """How the service of a model counts. text: the texts, of questions whose pictures were counted apart. whole: the
    whole input. Foretold is the estimate without a tokenizer and without a correction."""

    model: str
    text: Ratio = msgspec.field(default_factory=Ratio)
    whole: Ratio = msgspec.field(default_factory=Ratio)


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of an output, in tokens a row. mean, spread (standard deviation), high: of the output, 0 for
    embeddings. input, media: the means of the input, and of its pictures; None: not told."""

    count: int
    mean: float = 0.0
    spread: float = 0.0
    high: float = 0.0
    input: float | None = None
    media: float | None = None

    def share(self, rows: int) -> float | None:
        """Returns how far the output of `rows` further rows may lie from the expected one, as a share of it.

        In 95 of 100 cases it lies within, if the rows are like those that were answered. None: too few answers.
        """
        if self.count < FOR_A_RANGE or rows < 1 or self.mean <= 0:
            return None
        more = self.count - 1
        student = 1.96 + 2.4 / more + 3 / more**2  # Student's t for 0.975, within 1 % from 5 answers on
        return student * self.spread / self.mean * math.sqrt(1 / self.count + 1 / rows)


MODELS = 8
"""The most models of which an output keeps how their services count."""


def answers_so_far(spec: LoadedJob) -> Answers | None:
    """Returns the lengths of the answers of the job's model, or of all models if that model has none; None without
    answers whose tokens are known. Raises QueryError."""
    told = "input_tokens" if facts(spec.job.task).embeds else "output_tokens"
    sql = (
        "select count(*), coalesce(avg(output_tokens), 0), coalesce(stddev_pop(output_tokens), 0), "
        f"coalesce(approx_quantile(output_tokens, {HIGH}), 0), avg(input_tokens), avg(media_tokens) "
        f"from versions where {told} is not null and (model = $model or not $only)"
    )
    with read.connect(spec.output, spec.job.task) as connection:
        for only in (True, False):
            found = read.query(connection, sql, {"model": spec.job.provider.model, "only": only}).fetchall()[0]
            if found[0]:
                return Answers(
                    count=found[0], mean=found[1], spread=found[2], high=found[3], input=found[4], media=found[5]
                )
    return None


def measured_of(model: str, known: tuple[Measured, ...]) -> Measured:
    """Returns what is measured of a model; an empty Measured if nothing is."""
    return next((found for found in known if found.model == model), Measured(model=model))


def with_measured(known: tuple[Measured, ...], new: Measured) -> tuple[Measured, ...]:
    """Returns `known` with the newer figures of one model, the newest last."""
    return (*(found for found in known if found.model != new.model), new)[-MODELS:]
