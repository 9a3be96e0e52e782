"""Explains why a budget cannot be kept for a request, and which lines in the job file would change that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.providers import declared
from pipeline.providers.cost import fee
from pipeline.providers.model import Model
from pipeline.providers.parameter_bounds import asked, most_output
from pipeline.providers.prices import Price, Region, everywhere
from pipeline.types import TaskFacts


def budget_problem(model: Model, facts: TaskFacts, parameters: Mapping[str, Any], region: Region | None) -> str | None:
    """Returns None if the model and the parameters tell the most that an answer can cost.

    Otherwise returns a sentence, then the lines to add to the job file.
    """
    if model.price is None:
        return _no_price(model, facts, region)
    if model.price.basis == "units":
        return f"{model.name} bills units that cannot be counted before sending; take budget.max_cost out"
    if (name := fee(parameters, model)) is not None:
        own = _lines(model, "bounds", f'{name.rpartition(".")[2]} = {{ cost = "none" }}')
        return (
            f"what provider.parameters.{name} adds to the bill is not known; take it out, or take budget.max_cost out, "
            f"or, if it adds nothing, add to the job file:\n{own}"
        )
    if not facts.embeds and most_output(parameters, model) is None:
        return _no_end(model, parameters)
    if facts.needs_image and model.tokens is None and model.input_limit is None:
        return (
            f"how many tokens a picture is for {model.name} is not known; add to the job file the most that the model "
            f"takes:\n{_lines(model, None, 'max_input_tokens = …')}"
        )
    return None


def _no_price(model: Model, facts: TaskFacts, region: Region | None) -> str:
    currency = (region.currency if region is not None else None) or str(declared(model.provider, "CURRENCY"))
    output = "" if facts.embeds else "output = …, "
    line = f'price = {{ input = …, {output}currency = "{currency}" }}  # per 1,000,000 tokens'
    where = "" if region is None else f" in the region {region.name!r} of {region.service}"
    service = region.service if region is not None else model.provider
    known = [price for price in everywhere(service, model.name) if region is None or price.region != region.name]
    elsewhere = f" (known: {'; '.join(map(_short, known))})" if known else ""
    return (
        f"the price of {model.name}{where} is not known{elsewhere}; add it to the job file:\n"
        f"{_lines(model, None, line)}"
    )


def _no_end(model: Model, parameters: Mapping[str, Any]) -> str:
    if asked(parameters) is None and model.max_output_tokens is None:
        return f"the length of {model.name}'s answers has no known end; set provider.parameters.max_tokens"
    never = _lines(model, None, 'thinking = "never"')
    return (
        f"how much {model.name} thinks before it answers has no known end; set provider.parameters.thinking_budget or "
        f"enable_thinking = false, or, if it never thinks, add to the job file:\n{never}"
    )


def _lines(model: Model, table: str | None, line: str) -> str:
    return f'[models."{model.name}"{"." + table if table else ""}]\n{line}'


def _short(price: Price) -> str:
    first = price.tiers[0] if price.tiers else price
    amounts = f"{first.input:g}" if first.output is None else f"{first.input:g} in, {first.output:g} out"
    return f"{price.region} {amounts} {price.currency}, {price.date}"
