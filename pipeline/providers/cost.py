"""What an answer cost, and the most a request can cost before it is sent. Not known is None, never 0."""

from __future__ import annotations

from pipeline.providers import tokens
from pipeline.providers.models import Model, Price
from pipeline.providers.output_bound import asked
from pipeline.types import Request, Usage


def cost(usage: Usage, model: Model) -> tuple[float | None, str | None]:
    """The price of an answer and its currency, (None, None) where price or counts are not known.

    An answer whose output was not counted has no cost, except for embeddings, which have no output. Tokens read from
    the service's cache cost `price.cached` where that is given.
    """
    price = model.price
    if price is None:
        return None, None
    embedding = model.tasks == ("embed",)
    counted = usage.input_units if price.basis == "units" else usage.input_tokens
    output = usage.output_tokens if usage.output_tokens is not None or not embedding else 0
    if counted is None or output is None:
        return None, None
    cached = min(usage.cached_tokens or 0, counted) if price.cached is not None else 0
    per_input, per_output = _rates(price, counted)
    amount = (counted - cached) * per_input + cached * (price.cached or 0.0) + output * per_output
    return amount / price.per, price.currency


def worst_case(request: Request, model: Model) -> float | None:
    """The most one attempt can cost, in the price's currency: the upper estimate of the input and the largest output.

    The output's bound is the request's own, else the model's; thinking comes on top as `thinking_budget`. None where
    price, input or output has no known bound.
    """
    price = model.price
    if price is None or price.basis == "units":
        return None
    counted = tokens.estimate(request, model)
    if counted is None:
        return None
    if model.max_input_tokens is not None:
        counted = min(counted, model.max_input_tokens)
    output = 0 if request.task == "embed" else _most_output(request, model)
    if output is None:
        return None
    rates = [_rates(price, count) for count in (counted, *(tier.up_to for tier in price.tiers if tier.up_to < counted))]
    return max(counted * per_input + output * per_output for per_input, per_output in rates) / price.per


def _most_output(request: Request, model: Model) -> int | None:
    bound = asked(request.parameters)
    most = model.max_output_tokens
    output = bound if most is None else most if bound is None else min(bound, most)
    budget = request.parameters.get("thinking_budget")
    if output is not None and isinstance(budget, int) and not isinstance(budget, bool):
        output += budget
    return output


def _rates(price: Price, counted: int) -> tuple[float, float]:
    for tier in price.tiers:
        if counted <= tier.up_to:
            return tier.input, _output(tier.input, tier.output)
    return price.input, _output(price.input, price.output)


def _output(per_input: float, per_output: float | None) -> float:
    return per_input if per_output is None else per_output
