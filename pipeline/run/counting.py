"""Counts the expected input tokens of a question: by the model's tokenizer, by what was learnt, or by an estimate."""

from __future__ import annotations

import msgspec

from pipeline.providers import tokens
from pipeline.providers.model import Model
from pipeline.providers.tokenizers import EXTRA, Tokenizer, vocabulary
from pipeline.run.context import JobContext
from pipeline.run.learnt import ENOUGH, Answers, Measured
from pipeline.types import Request


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """A way to count. text, whole: the correction of the estimate, for the texts or for the whole input. row: the mean
    input of a row, for a model whose pictures cannot be counted. how: the way in words; None offline."""

    model: Model
    tokenizer: Tokenizer | None = None
    text: float | None = None
    whole: float | None = None
    row: Answers | None = None
    how: str | None = None

    def count(self, request: Request, questions: int) -> tokens.Count:
        """Returns the expected input tokens of one of a row's `questions`."""
        found = tokens.count(request, self.model, "expected", self.tokenizer.count if self.tokenizer else None)
        if found.media is None or found.audio is None:
            return found if self.row is None else _of_a_row(self.row, questions)
        if self.text is not None:
            return found._replace(words=round(found.words * self.text))
        if self.whole is not None:
            scaled = (round(part * self.whole) for part in (found.words, found.media, found.audio))
            return tokens.Count(*scaled)
        return found


def _of_a_row(row: Answers, questions: int) -> tokens.Count:
    media = row.media or 0.0
    return tokens.Count(round(((row.input or 0.0) - media) / questions), round(media / questions), 0)


def counting(context: JobContext, measured: Measured, answers: Answers | None, tokenizer: Tokenizer | None) -> Counting:
    """Returns the way to count for a job's model.

    measured: how the service counts, from earlier answers of the output. Used without a tokenizer, from ENOUGH answers
    on. The embedded service counts as the estimate does.
    """
    model = context.model
    if context.spec.offline:
        return Counting(model=model)
    row = _known_rows(model, answers)
    pictures = ""
    if row is not None and model.tokens is None and model.image_tokens is None:
        pictures = f"; a row with pictures: {row.input:,.0f}, learnt from {row.count:,} answers"
    if tokenizer is not None:
        return Counting(model=model, tokenizer=tokenizer, row=row, how=f"counted by {tokenizer.name}{pictures}")
    text, whole = measured.text.known, measured.whole.known
    if text is not None:
        how = f"an estimate × {text:.2f}, learnt from {measured.text.questions:,} answers{pictures}"
        return Counting(model=model, text=text, row=row, how=how)
    if whole is not None:
        how = f"an estimate × {whole:.2f} with the pictures, learnt from {measured.whole.questions:,} answers"
        return Counting(model=model, whole=whole, row=row, how=how)
    if pictures:
        return Counting(model=model, row=row, how=f"an estimate{pictures}")
    better = f"; {EXTRA} counts it" if vocabulary(model.name) else f"; learnt from the first {ENOUGH} answers"
    return Counting(model=model, row=row, how=f"an estimate{better}")


def _known_rows(model: Model, answers: Answers | None) -> Answers | None:
    """Returns the answers if their mean input can stand for a row that cannot be counted, else None."""
    if answers is None or answers.count < ENOUGH or answers.input is None:
        return None
    apart = model.price is not None and model.price.media_input is not None
    return None if apart and answers.media is None else answers
