"""Counts the expected input tokens of a question: by the model's tokenizer, by what was learnt, or by an estimate."""

from __future__ import annotations

import msgspec

from pipeline.providers import tokens
from pipeline.providers.models import Model
from pipeline.providers.tokenizers import EXTRA, Tokenizer, vocabulary
from pipeline.run.context import JobContext
from pipeline.run.learnt import ENOUGH, Answers, Measured
from pipeline.types import Request


class Counting(msgspec.Struct, frozen=True, kw_only=True):
    """A way to count. text, whole: the correction of the estimate, for the texts or for the whole input. row: the mean
    input of a row in tokens, for a model whose pictures cannot be counted. how: the way in words; None offline."""

    model: Model
    tokenizer: Tokenizer | None = None
    text: float | None = None
    whole: float | None = None
    row: float | None = None
    how: str | None = None

    def count(self, request: Request, questions: int) -> tokens.Count:
        """Returns the expected input tokens of one of a row's `questions`."""
        found = tokens.count(request, self.model, "expected", self.tokenizer.count if self.tokenizer else None)
        if found.media is None or found.audio is None:
            return found if self.row is None else tokens.Count(round(self.row / questions), 0, 0)
        if self.text is not None:
            return found._replace(words=round(found.words * self.text))
        if self.whole is not None:
            scaled = (round(part * self.whole) for part in (found.words, found.media, found.audio))
            return tokens.Count(*scaled)
        return found


def counting(context: JobContext, measured: Measured, answers: Answers | None, tokenizer: Tokenizer | None) -> Counting:
    """Returns the way to count for a job's model.

    measured: how the service counts, from earlier answers of the output. Used without a tokenizer, from ENOUGH answers
    on. The embedded service counts as the estimate does.
    """
    model = context.model
    if context.spec.offline:
        return Counting(model=model)
    row = answers.input if answers is not None and answers.count >= ENOUGH else None
    learnt = row is not None and model.tokens is None and model.image_tokens is None
    if tokenizer is not None:
        return Counting(model=model, tokenizer=tokenizer, row=row, how=f"counted by {tokenizer.name}")
    text, whole = measured.text.known, measured.whole.known
    if text is not None:
        how = f"an estimate × {text:.2f}, learnt from {measured.text.questions:,} answers"
        return Counting(model=model, text=text, row=row, how=how)
    if whole is not None:
        how = f"an estimate × {whole:.2f} with the pictures, learnt from {measured.whole.questions:,} answers"
        return Counting(model=model, whole=whole, row=row, how=how)
    if learnt and answers is not None:
        return Counting(model=model, row=row, how=f"{row:,.0f} tokens a row, the mean of {answers.count:,} answers")
    better = f"; {EXTRA} counts it" if vocabulary(model.name) else f"; learnt from the first {ENOUGH} answers"
    return Counting(model=model, row=row, how=f"an estimate{better}")
