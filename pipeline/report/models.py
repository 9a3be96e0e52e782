"""`pipeline models`: everything that is known about the models, as a table and as data."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Iterable, Iterator

import msgspec

from pipeline.errors import JobError
from pipeline.job.values import did_you_mean, for_message
from pipeline.providers import load, models, names
from pipeline.providers import prices as tables
from pipeline.providers.model import Model
from pipeline.providers.models import Tables
from pipeline.providers.prices import Price, old
from pipeline.report import price_lines as of_prices


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of one service. service: `yours` for a model that only the user-wide file has. prices: one for each
    region."""

    service: str
    model: Model
    prices: tuple[Price, ...] = ()


def entries(provider: str | None, user_wide: Tables) -> Iterator[Entry]:
    """Yields all known models of a provider (None: of all providers), in the order of the data.

    The models that only the user-wide file has come last, and only for None. Raises JobError for an unknown provider.
    """
    if provider is not None:
        load(provider)
    seen: set[str] = set()
    for service in names():
        for name in models.names(service):
            seen.add(name)
            if provider in (None, service):
                yield _entry(service, name, user_wide)
    for name in user_wide:
        if name not in seen and provider is None:
            model = models.find("openai", name, None, user_wide)
            yield Entry(service="yours", model=model, prices=(model.price,) if model.price else ())


def of_name(name: str, provider: str | None, user_wide: Tables) -> list[Entry]:
    """Returns the entries with this name. If there is no entry, raises JobError with the nearest known name."""
    known = list(entries(provider, user_wide))
    found = [entry for entry in known if entry.model.name == name]
    if not found:
        hint = (
            did_you_mean(name.lower(), [entry.model.name for entry in known])
            or "; `pipeline models` lists what is known"
        )
        raise JobError(f"no model {for_message(name)} is known{hint} (a job may name any model)")
    return found


def _entry(service: str, name: str, user_wide: Tables) -> Entry:
    model = models.find(service, name, None, user_wide)
    own = "price" in user_wide.get(name, {})
    prices = (model.price,) if own and model.price is not None else tuple(tables.everywhere(service, name))
    return Entry(service=service, model=model, prices=prices)


WIDTH = 80
_SHAPE = "{:<27} {:<11} {:>5} {:>16} {:<4} {:<8}"
_TASKS = {"caption": "cap"}
_REGIONS = {"mainland": "CN", "international": "intl", "us": "US", "global": ""}


def table(found: Iterable[Entry], today: datetime.date) -> Iterator[str]:
    """Yields the models by service, with one line for each price.

    The models that are no longer served are in one paragraph at the end.
    """
    service = ""
    gone: list[str] = []
    yield _SHAPE.format("MODEL", "TASKS", "INPUT", "PRICE IN/OUT", "", "DATE").rstrip()
    for entry in found:
        retired = entry.model.retired
        if retired is not None and not retired.announced:
            gone.append(f"{entry.model.name} ({retired.date})")
            continue
        if entry.service != service:
            service = entry.service
            yield f"-- {service} --"
        yield from _rows(entry, today)
    yield from _legend(gone)


def _rows(entry: Entry, today: datetime.date) -> Iterator[str]:
    model = entry.model
    name, tasks, most = model.name, ",".join(_TASKS.get(task, task) for task in model.tasks or ()), _short(model)
    if len(name) > 27:
        yield name
        name = ""
    for price in entry.prices or (None,):
        region = "" if price is None else _REGIONS.get(price.region or "", price.region or "")
        amounts = "not known" if price is None else of_prices.short(price)
        yield _SHAPE.format(name, tasks, most, amounts, region, _month(price, today)).rstrip()
        name, tasks, most = "", "", ""


def _short(model: Model) -> str:
    most = model.input_limit
    return "" if most is None else f"{most / 1e6:.3g}M" if most >= 1_000_000 else f"{most // 1000}k"


def _month(price: Price | None, today: datetime.date) -> str:
    if price is None or price.date is None:
        return ""
    return price.date[:7] + ("*" if old(price, today) else "")


def _legend(gone: list[str]) -> Iterator[str]:
    yield ""
    yield from textwrap.wrap(
        "INPUT: the most input tokens. PRICE: per 1,000,000 tokens; +: more for longer inputs. "
        "*: more than half a year old. `pipeline models NAME` shows all of one model, with sources.",
        WIDTH,
    )
    if gone:
        yield from textwrap.wrap(f"No longer served: {', '.join(gone)}.", WIDTH, break_on_hyphens=False)


def details(entry: Entry, today: datetime.date) -> Iterator[str]:
    """Yields everything that is known about one model, line by line."""
    model = entry.model
    yield f"{model.name} ({entry.service})"
    for label, value in _facts(model):
        yield from textwrap.wrap(
            f"{label + ':':<14}{value}", WIDTH, initial_indent="  ", subsequent_indent=" " * 16, break_on_hyphens=False
        )
    for price in entry.prices:
        place = f"{price.region}, " if price.region else ""
        stamp = f", {price.date}" + (" (more than half a year old)" if old(price, today) else "") if price.date else ""
        heading = f"price ({place}{price.currency} per {price.per:,} {price.basis}{stamp}):"
        yield from textwrap.wrap(heading, WIDTH, initial_indent="  ", subsequent_indent=" " * 9, break_on_hyphens=False)
        yield from (f"    {line}" for line in of_prices.lines(price))
        if price.source:
            yield from textwrap.wrap(
                f"source: {price.source}", WIDTH, initial_indent="    ", subsequent_indent=" " * 12,
                break_on_hyphens=False,
            )  # fmt: skip
    if not entry.prices:
        yield f'  price:        not known; [models."{model.name}"] price = {{ input = …, output = … }} sets it'


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    if model.tasks:
        yield "tasks", ", ".join(model.tasks)
    if kinds := _kinds(model):
        yield "takes", ", ".join(kinds)
    if model.protocols:
        yield "protocols", ", ".join(model.protocols)
    yield from _lengths(model)
    if model.media.formats:
        yield "pictures", _images(model)
    if model.tokens is not None:
        rule = model.tokens
        yield (
            "tokens",
            f"one per {rule.patch}×{rule.patch} pixels, at most {rule.max_pixels // rule.patch**2:,} a picture",
        )
    if model.dimensions:
        yield "vectors of", ", ".join(f"{size:,}" for size in model.dimensions)
    if model.rpm or model.tpm:
        parts = [f"{model.rpm:,.0f} requests" if model.rpm else "", f"{model.tpm:,.0f} tokens" if model.tpm else ""]
        yield "a minute", ", ".join(part for part in parts if part)
    if model.retired is not None:
        how = "announced for" if model.retired.announced else "since"
        then = f"; successor: {model.retired.successor}" if model.retired.successor else ""
        yield "not served", f"{how} {model.retired.date}{then}"


def _kinds(model: Model) -> list[str]:
    limits = model.frame_limits
    frames = f"frames ({limits.min}–{limits.max})" if limits.min and limits.max else "frames"
    flags = (("text", model.text), ("pictures", model.images), (frames, model.frames), ("video files", model.video))
    return [name for name, taken in (*flags, ("sounds", model.audio)) if taken]


def _lengths(model: Model) -> Iterator[tuple[str, str]]:
    if model.input_limit is not None:
        yield "input", f"at most {model.input_limit:,} tokens"
    if model.max_output_tokens is not None:
        yield "output", f"at most {model.max_output_tokens:,} tokens"
    if model.thinking is not None:
        most = f", at most {model.max_thinking_tokens:,} tokens on top" if model.max_thinking_tokens else ""
        how = {"never": "never", "off": "if asked", "on": "unless switched off", "always": "always"}[model.thinking]
        yield "thinks", how + most


def _images(model: Model) -> str:
    media = model.media
    limits = [", ".join(media.formats or ())]
    if media.max_bytes is not None:
        limits.append(f"at most {media.max_bytes:,} bytes")
    if media.max_pixels is not None:
        limits.append(f"at most {media.max_pixels:,} pixels")
    return "; ".join(limits)
