"""What the services charge, as data: prices.toml, by service, region and model. A price that is not found is None."""

from __future__ import annotations

import datetime
import functools
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

OLD_DAYS = 183
"""Half a year: a price of before that is said to be old."""


class _Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of prices.toml; unknown keys are refused."""


class Tier(_Data, frozen=True):
    """The price of a request with at most `up_to` input tokens; `output` defaults to `input`."""

    up_to: int
    input: float
    output: float | None = None
    cached: float | None = None


class Price(_Data, frozen=True):
    """Per `per` tokens. `output` defaults to `input`. Every amount is in `currency`.

    tiers: ascending; they replace `input`, `output` and `cached` by the length of the input. Above the last tier
    `input` and `output` hold where they are given, else the last tier. cached: input that the service read from its
    cache by itself. explicit_write, explicit_read: input that a marked part (`cache_control`) wrote to or read from
    the cache, as a share of the input price. media_input: pictures and videos, audio_input: sounds, where they cost
    other than text; media_output: an answer to a request that holds either. batch: what the batch tier costs, as a
    share of this price. basis: `units` bills the weighted units of an embedding service instead of tokens. date: when
    the source was read or last changed. region: as in prices.toml, None for a user's own price.
    """

    input: float | None = None
    output: float | None = None
    cached: float | None = None
    media_input: float | None = None
    audio_input: float | None = None
    media_output: float | None = None
    explicit_write: float | None = None
    explicit_read: float | None = None
    batch: float | None = None
    currency: str = "CNY"
    per: int = 1_000_000
    basis: Literal["tokens", "units"] = "tokens"
    tiers: tuple[Tier, ...] = ()
    source: str | None = None
    date: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        if self.input is None and not self.tiers:
            raise ValueError("input: this key is missing; write input = 1.0, or tiers for a price by length")
        ends = [tier.up_to for tier in self.tiers]
        if ends != sorted(set(ends)):
            raise ValueError("tiers: up_to must rise from tier to tier")


class Region(_Data, frozen=True):
    """A part of a service with prices of its own, found by the host of the base URL. currency None: no price there."""

    service: str
    name: str
    hosts: tuple[str, ...]
    currency: str | None = None
    default: bool = False
    explicit_write: float | None = None
    explicit_read: float | None = None
    batch: float | None = None


def home(provider: str) -> Region | None:
    """The region of a provider's own address."""
    return next((region for region in regions() if region.service == provider and region.default), None)


def region_of(base_url: str) -> Region | None:
    """The region that a base URL belongs to; None for the host of anybody else."""
    host = (urlsplit(base_url).hostname or "").lower()
    return next((region for region in regions() if any(fnmatchcase(host, shape) for shape in region.hosts)), None)


def built_in(region: Region | None, model: str) -> dict[str, Any] | None:
    """The fields of the price of a model in a region, as `Price` has them; None where no table names one."""
    if region is None or region.currency is None:
        return None
    entry = _by_name(region.service, region.name).get(model)
    if entry is None:
        return None
    shared = {key: getattr(region, key) for key in ("explicit_write", "explicit_read", "batch")}
    found = {key: value for key, value in shared.items() if value is not None}
    found.update({key: value for key, value in entry.items() if key not in ("names", "source")})
    source = _data()["sources"][entry["source"]]
    place = {"currency": region.currency, "region": region.name}
    return {**found, **place, "source": source["text"], "date": source["date"]}


def everywhere(service: str, model: str) -> list[Price]:
    """The built-in prices of a model in every region of a service."""
    mine = [region for region in regions() if region.service == service]
    found = [built_in(region, model) for region in mine]
    return [msgspec.convert(fields, Price) for fields in found if fields is not None]


def names(service: str) -> list[str]:
    """Every model of a service that has a price in some region."""
    found = [_by_name(region.service, region.name) for region in regions() if region.service == service]
    return list(dict.fromkeys(name for table in found for name in table))


@functools.cache
def regions() -> tuple[Region, ...]:
    """All regions, in the order in which hosts are tried."""
    return msgspec.convert(_data()["regions"], tuple[Region, ...])


def age(price: Price, today: datetime.date) -> int | None:
    """Days since the price's date ("2026", "2026-11" or "2026-11-27"; the first day counts); None without a date."""
    try:
        parts = [int(part) for part in (price.date or "").split("-")]
        year, month, day = (*parts, 1, 1)[:3]
        return (today - datetime.date(year, month, day)).days
    except (ValueError, TypeError):
        return None


def old(price: Price, today: datetime.date) -> bool:
    """Whether the price is of more than half a year ago."""
    days = age(price, today)
    return days is not None and days > OLD_DAYS


@functools.cache
def _data() -> dict[str, Any]:
    text = resources.files("pipeline.providers").joinpath("prices.toml").read_text("utf-8")
    return tomllib.loads(text)


@functools.cache
def _by_name(service: str, region: str) -> Mapping[str, Mapping[str, Any]]:
    table = _data()["prices"].get(service, {}).get(region, {})
    return {name: entry for key, entry in table.items() for name in (key, *entry.get("names", ()))}
