"""`pipeline plan`: the rows that a run would send, their cost and their time."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pipeline.report.estimate_extras import Similar, Sizes, similar_lines, sizes_lines
from pipeline.report.html import lines_html
from pipeline.report.state import count, money, span
from pipeline.report.summary import FailureGroup, passed_over
from pipeline.report.terminal import one_line


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """The forecast of a run. Counts are rows of the manifest by state.

    send: the rows that a run would send now. shared: the rows of `send` that share the answer to another row's equal
    question and cost nothing. There may be more of them: pictures under different names are compared when they are
    sent. looked_at: the rows that were looked at more closely, spread evenly; the figures below are scaled to all rows.

    passed_over: files of the manifest's folder or glob that are no rows, by kind. refused: the rows that would be
    refused before sending. media_tokens, input_tokens: expected; None if they cannot be counted. counted_by: how texts
    are counted, in words; None offline.

    output_tokens: by the mean of the answers so far; None without answers. answers: their number; output_mean,
    output_high: their mean length, and the length that 95 % of them do not exceed, in tokens a row. output_most: all
    answers at their longest (`max_tokens`), 0 for embeddings; None: no bound is known.

    cost: expected; the cost of the input alone if no answer's length is known. cost_low, cost_high: in 95 of 100 cases
    the cost lies between, if the rows are like those that were answered; None: too few answers. output_most_cost: of
    output_most. worst_cost: the highest possible cost, which a budget reserves. price: the price for all costs.
    seconds: the shortest time under `limit` (None: no limit is known). sizes, similar: None unless they were asked for.
    """

    job: str
    command: str
    output: str
    rows: int
    done: int
    new: int
    changed: int
    retry: int
    failed: int
    repeated: int
    vanished: int
    send: int
    looked_at: int
    shared: int = 0
    dismissed: int = 0
    passed_over: dict[str, int] = {}
    refused: tuple[FailureGroup, ...] = ()
    media_tokens: int | None = None
    input_tokens: int | None = None
    counted_by: str | None = None
    output_tokens: int | None = None
    output_most: int | None = None
    answers: int = 0
    output_mean: float | None = None
    output_high: float | None = None
    cost: float | None = None
    cost_low: float | None = None
    cost_high: float | None = None
    output_most_cost: float | None = None
    worst_cost: float | None = None
    currency: str | None = None
    price: str | None = None
    seconds: float | None = None
    limit: str | None = None
    notes: tuple[str, ...] = ()
    sizes: Sizes | None = None
    similar: Similar | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return lines_html(lines(self))


def lines(estimate: Estimate) -> Iterator[str]:
    """Yields the lines of the forecast, for people."""
    f = estimate
    yield from _rows(f)
    if f.send:
        yield from _figures(f)
    if f.sizes is not None:
        yield from sizes_lines(f.sizes, f.currency)
    if f.similar is not None:
        yield from similar_lines(f.similar, f.currency)
    for note in f.notes:
        yield f"note:    {note}"
    yield f"next: pipeline run {f.command}" if f.send else f"next: pipeline status {f.command}"


def _rows(f: Estimate) -> Iterator[str]:
    yield f"job:     {f.job}"
    yield f"output:  {f.output}"
    states = {"done": f.done, "new": f.new, "changed": f.changed, "failed in passing": f.retry, "failed": f.failed}
    states["dismissed"] = f.dismissed
    shown = ", ".join(f"{number:,} {name}" for name, number in states.items() if number)
    yield f"rows:    {f.rows:,} in the manifest" + (f": {shown}" if shown else "")
    if f.repeated:
        yield f"         {f.repeated:,} repeat an earlier row and are sent once"
    if f.vanished:
        yield f"         {f.vanished:,} answered or failed before are no longer in it"
    if f.passed_over:
        yield f"         {passed_over(f.passed_over)}"
    yield f"to send: {count(f.send, 'row')}" + ("; nothing to send" if not f.send else "")
    if f.shared:
        yield f"         {f.shared:,} of them share another row's answer"
    if f.looked_at < f.send:
        yield f"         (figures below from {f.looked_at:,} of them, spread evenly)"
    for group in f.refused:
        yield f"  {group.rows:>6,} × refused {one_line(f'{group.code}: {group.message} (such as {group.id})')}"


def _figures(f: Estimate) -> Iterator[str]:
    media = "" if f.media_tokens is None else f", {f.media_tokens:,} of them for pictures"
    tokens = "cannot be counted" if f.input_tokens is None else f"{f.input_tokens:,} in{media}"
    yield f"tokens:  {tokens}" + ("" if f.output_tokens is None else f"; {f.output_tokens:,} out expected")
    if f.counted_by is not None and f.input_tokens != f.media_tokens:
        yield f"texts:   {f.counted_by}"
    yield from _answers(f)
    yield from _cost(f)
    if f.seconds is not None:
        yield f"time:    at least {span(f.seconds)} under {f.limit}"


def _answers(f: Estimate) -> Iterator[str]:
    if f.output_mean is not None and f.output_high is not None:
        length = f"{f.output_mean:,.0f} tokens in the mean of {count(f.answers, 'answer')}"
        yield f"answers: {length}, 95 % of them at most {f.output_high:,.0f}"
    elif f.output_most:
        cost = "" if f.output_most_cost is None else f", {money(f.output_most_cost, f.currency)}"
        yield f"answers: none yet; at most {f.output_most:,} tokens out{cost}"


def _cost(f: Estimate) -> Iterator[str]:
    if f.cost is None and f.worst_cost is None:
        reason = "no price for this model" if f.price is None else "the tokens cannot be counted"
        yield f"cost:    not known ({reason})"
    else:
        alone = " for the input alone" if f.output_tokens is None and f.output_most != 0 else ""
        worst = "" if f.worst_cost is None else f", at worst {money(f.worst_cost, f.currency)}"
        yield f"cost:    {money(f.cost, f.currency)} expected{alone}{worst}"
        if f.cost_low is not None and f.cost_high is not None:
            yield f"         likely from {money(f.cost_low, None)} to {money(f.cost_high, f.currency)}"
    if f.price is not None:
        yield f"price:   {f.price}"
