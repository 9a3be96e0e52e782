"""Finds what is known of a model: in models.toml, under the tables that a user adds."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from pipeline.errors import JobError
from pipeline.job.shape import misfit
from pipeline.job.values import did_you_mean, for_message
from pipeline.providers import prices
from pipeline.providers.model import Bound, FrameLimits, Model, Retired, TokenRule, VideoLimits
from pipeline.providers.prices import Price
from pipeline.types import MediaLimits

Tables = Mapping[str, Mapping[str, Any]]


def names(provider: str) -> tuple[str, ...]:
    """The models of a provider that the built-in data name, those with no more than a price last."""
    return tuple(dict.fromkeys((*_data().get(provider, {}).get("models", {}), *prices.names(provider))))


_EXTRA_KEYS = ("like", "family")


def find(
    provider: str,
    name: str,
    tables: Tables | None = None,
    user_wide: Tables | None = None,
    base_url: str | None = None,
) -> Model:
    """The model of that name: `tables` (the job's) over `user_wide` over the built-in data.

    The built-in price is the one of the region that `base_url` belongs to, or of the provider's own address without it.

    A user's table may say `like = "qwen3-vl-plus"` to begin with another model's facts, except its price, retirement
    and rate limits. A name in no table that begins as a documented family does keeps that family's shared facts.
    Raises JobError naming the key's path for a table that does not fit.
    """
    return _find(provider, name, [("user-wide models", user_wide or {}), ("models", tables or {})], base_url)


def _find(provider: str, name: str, layers: list[tuple[str, Tables]], base_url: str | None = None) -> Model:
    raw = dict(_builtin(provider, name))
    known = bool(raw)
    for where, layer in layers:
        table = layer.get(name)
        if table is None:
            continue
        known = True
        _check_keys(table, Model, f"{where}.{name}", extra=_EXTRA_KEYS)
        like = table.get("like")
        base = _like(provider, str(like), f"{where}.{name}.like", layer) if like is not None else raw
        raw = _merge(base, {key: value for key, value in table.items() if key not in _EXTRA_KEYS})
    if not known:
        raw = _family(provider, name)
    region = prices.home(provider) if base_url is None else prices.region_of(base_url)
    raw.setdefault("price", prices.built_in(region, name))
    raw = {**raw, "name": name, "provider": provider, "known": known}
    where = next((where for where, layer in reversed(layers) if name in layer), "models")
    try:
        return msgspec.convert(raw, Model)
    except msgspec.ValidationError as error:
        problem = misfit(raw, Model, f"{where}.{name}.") or f"{where}.{name}{_place(error)}"
        raise JobError(problem) from error


def _place(error: msgspec.ValidationError) -> str:
    """`.price.input: …` for what msgspec says of `$.price`: the check that failed begins with the key it is about."""
    words, _, path = str(error).partition(" - at `$")
    return f"{path.rstrip('`')}.{words}"


def check_tables(tables: Tables, where: str = "models") -> None:
    """Raises JobError for any table of a user that does not fit, also those no job asks for."""
    for name in tables:
        if not isinstance(tables[name], Mapping):
            raise JobError(f"{where}.{name}: expected a table, found {tables[name]!r}")
        _find("openai", name, [(where, tables)])


def _like(provider: str, like: str, path: str, layer: Tables) -> dict[str, Any]:
    base = _builtin(provider, like) or next((found for other in _data() if (found := _builtin(other, like))), {})
    base = _merge(base, {k: v for k, v in layer.get(like, {}).items() if k not in _EXTRA_KEYS})
    if not base:
        known = [name for other in _data().values() for name in other["models"]]
        raise JobError(f"{path}: no model {for_message(like)} is known{did_you_mean(like, known)}")
    return {key: value for key, value in base.items() if key not in ("price", "retired", "rpm", "tpm")}


@functools.cache
def _data() -> dict[str, dict[str, dict[str, Any]]]:
    text = resources.files("pipeline.providers").joinpath("models.toml").read_text("utf-8")
    return tomllib.loads(text)


def _builtin(provider: str, name: str) -> dict[str, Any]:
    data = _data().get(provider, {})
    table = data.get("models", {}).get(name)
    if table is None:
        return {}
    family = data.get("families", {}).get(table.get("family"), {})
    own = {key: value for key, value in table.items() if key != "family"}
    return _merge({key: value for key, value in family.items() if key not in ("prefixes", "shared")}, own)


def _family(provider: str, name: str) -> dict[str, Any]:
    for family in _data().get(provider, {}).get("families", {}).values():
        if any(name.startswith(prefix) for prefix in family.get("prefixes", ())):
            return {key: family[key] for key in family.get("shared", ()) if key in family}
    return {}


def _merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping) and key not in ("price", "thinking_off")
        merged[key] = _merge(old, value) if both and isinstance(old, Mapping) else value
    return merged


_NESTED: dict[str, type[msgspec.Struct]] = {
    "media": MediaLimits,
    "sound": MediaLimits,
    "tokens": TokenRule,
    "price": Price,
    "retired": Retired,
    "frame_limits": FrameLimits,
    "video_limits": VideoLimits,
}


def _check_keys(table: Mapping[str, Any], shape: type[msgspec.Struct], path: str, extra: tuple[str, ...] = ()) -> None:
    names = [field.name for field in msgspec.structs.fields(shape) if field.name not in ("name", "provider", "known")]
    names.extend(extra)
    for key, value in table.items():
        if key not in names:
            hint = did_you_mean(key, names) or f"; expected one of {', '.join(names)}"
            raise JobError(f"{path}.{key}: unknown key{hint}")
        if shape is Model and key in _NESTED and isinstance(value, Mapping):
            _check_keys(value, _NESTED[key], f"{path}.{key}")
        if shape is Model and key == "bounds" and isinstance(value, Mapping):
            for parameter, bound in value.items():
                if isinstance(bound, Mapping):
                    _check_keys(bound, Bound, f"{path}.bounds.{parameter}")
