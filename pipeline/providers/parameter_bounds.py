"""The published parameters with their bounds, as data: parameters.toml, by service and protocol."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from pipeline.providers.models import Bound


@functools.cache
def known_bounds(provider: str, protocol: str | None = None) -> Mapping[str, Bound]:
    """By name. What differs between the protocols of a service is of `protocol`."""
    tables = _tables()
    found = {**tables.get("any", {}), **tables.get(provider, {}), **tables.get(f"{provider}:{protocol}", {})}
    return msgspec.convert(found, dict[str, Bound])


@functools.cache
def _tables() -> dict[str, dict[str, Any]]:
    text = resources.files("pipeline.providers").joinpath("parameters.toml").read_text("utf-8")
    return tomllib.loads(text)
