"""Prices for people: the amounts, the longest input for each amount, and the place and date of the price."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from pipeline.providers.prices import Price, old


def short(price: Price) -> str:
    """Returns the amounts of the first tier, input and output: `1/10 CNY`. A `+` at the end: there are more tiers."""
    first = price.tiers[0] if price.tiers else price
    amounts = f"{_amount(first.input)}" + ("" if first.output is None else f"/{_amount(first.output)}")
    return f"{amounts} {price.currency}" + ("+" if len(price.tiers) > 1 else "")


def price_line(price: Price) -> str:
    """Returns one line: the first tier, the unit, the region, the date and the source."""
    first = price.tiers[0] if price.tiers else price
    output = "" if first.output is None else f", {_amount(first.output)} out"
    more = ", more for long inputs" if len(price.tiers) > 1 else ""
    unit = "units" if price.basis == "units" else "tokens"
    found = ", ".join(part for part in (price.region, price.date, price.source) if part)
    amounts = f"{_amount(first.input)} in{output} {price.currency} per {price.per:,} {unit}{more}"
    return f"{amounts} ({found})" if found else amounts


def lines(price: Price) -> Iterator[str]:
    """Yields everything that is known about a price, line by line."""
    for tier in price.tiers:
        output = "" if tier.output is None else f", output {_amount(tier.output)}"
        cached = "" if tier.cached is None else f", cached input {_amount(tier.cached)}"
        yield f"up to {tier.up_to:,} input tokens: input {_amount(tier.input)}{output}{cached}"
    if price.input is not None:
        yield ", ".join(
            f"{name} {_amount(value)}"
            for name, value in (
                ("input", price.input),
                ("input of pictures and videos", price.media_input),
                ("input of sounds", price.audio_input),
                ("output", price.output),
                ("output with pictures or sounds in the input", price.media_output),
                ("cached input", price.cached),
            )
            if value is not None
        )
    elif price.audio_input is not None:
        yield f"input of sounds {_amount(price.audio_input)}"
    if price.explicit_write is not None and price.explicit_read is not None:
        yield f"marked cache: {price.explicit_write:g} × input to write, {price.explicit_read:g} × input to read"
    if price.batch is not None:
        yield f"batch: {price.batch:g} × these"


def aged(price: Price, name: str, today: datetime.date) -> str | None:
    """Returns a note about a price that is more than half a year old; None for a newer price."""
    if not old(price, today):
        return None
    return (
        f"the price of {name} is of {price.date} ({price.source or 'no source'}), more than half a year old: "
        f'compare it with the service\'s page; another one is set with [models."{name}"] price'
    )


def _amount(value: float | None) -> str:
    return "?" if value is None else f"{value:.6g}"
