"""The forecast that a run kept, beside what it then spent, for `pipeline status`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from pipeline.report.state import money


class Forecast(msgspec.Struct, kw_only=True):
    """What was expected of the questions that a run then had answered, beside the run's own figures.

    questions: those that were answered. output_known: answers of before told how long answers are; without them,
    expected_cost is for the input alone and expected_output_tokens is None. expected_*: None if it cannot be counted.
    input_tokens, output_tokens, cost: of all attempts of the run; None if not known.
    """

    questions: int = 0
    output_known: bool = False
    expected_input_tokens: int | None = 0
    expected_output_tokens: float | None = None
    expected_cost: float | None = None
    currency: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None


def lines(forecast: Forecast) -> Iterator[str]:
    """Yields what was expected, what it came to, and how far off it was."""
    f = forecast
    if f.expected_cost is not None and f.cost is not None:
        alone = "" if f.output_known else " (input alone)"
        off = _off(f.cost, f.expected_cost) if f.output_known else ""
        expected, spent = money(f.expected_cost, f.currency), money(f.cost, f.currency)
        yield f"plan:   {expected} expected{alone}, {spent} spent{off} in the last run"
    if f.expected_input_tokens is not None and f.input_tokens is not None:
        head = "plan:  " if f.expected_cost is None or f.cost is None else "       "
        off = _off(f.input_tokens, f.expected_input_tokens)
        yield f"{head} {f.expected_input_tokens:,} tokens in expected, {f.input_tokens:,} counted{off}"
    if f.expected_output_tokens is not None and f.output_tokens is not None:
        off = _off(f.output_tokens, f.expected_output_tokens)
        yield f"        {f.expected_output_tokens:,.0f} tokens out expected, {f.output_tokens:,} counted{off}"


def _off(found: float, expected: float) -> str:
    """Returns how far `found` is from `expected`: " (+3 %)"; "" if nothing was expected."""
    return f" ({(found / expected - 1) * 100:+.0f} %)" if expected else ""
