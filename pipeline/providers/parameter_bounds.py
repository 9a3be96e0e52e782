"""The published parameters of the services, as data (parameters.toml): bounds, and the names of the output limit.

`max_tokens`, `max_completion_tokens` and `max_new_tokens` mean the same. A job may use any of these names. A name that
the model takes is sent as written. Any other name is replaced by the model's preferred name (`output_names` in
models.toml). For an unknown model, the name is sent as written (PROTOCOLS.md trap 26).
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from pipeline.providers import declared
from pipeline.providers.edit_distance import meant
from pipeline.providers.model import Bound, Model


@functools.cache
def known_bounds(provider: str, protocol: str | None = None) -> Mapping[str, Bound]:
    """Returns parameter name → bound. If the protocols of a service differ, the bounds of `protocol` are returned."""
    tables, name = _tables(), declared(provider, "PARAMETERS")
    found = {**tables.get("any", {}), **tables.get(name, {}), **tables.get(f"{name}:{protocol}", {})}
    return msgspec.convert(found, dict[str, Bound])


@functools.cache
def _tables() -> dict[str, dict[str, Any]]:
    text = resources.files("pipeline.providers").joinpath("parameters.toml").read_text("utf-8")
    return tomllib.loads(text)


def outside(value: Any, bound: Bound) -> list[str]:
    """Returns the problems of a value with a bound, each as a sentence about the value; [] if the value fits."""
    if bound.fixed is not None and value != bound.fixed:
        return [f"{value!r} is not taken; it is always {bound.fixed!r}"]
    if bound.choices is not None and value not in bound.choices:
        return [f"{value!r} is not one of {', '.join(map(repr, bound.choices))}"]
    wanted = _type_problem(value, bound.type)
    if wanted:
        return [f"{value!r} is not {wanted}"]
    if isinstance(value, int | float) and not isinstance(value, bool) and not _inside(value, bound):
        return [f"{value!r} is outside {interval(bound)}"]
    if isinstance(value, Mapping):
        return _inner(value, bound)
    if isinstance(value, list | tuple) and bound.items is not None:
        return [problem for item in value for problem in outside(item, bound.items)]
    return []


def _inner(table: Mapping[str, Any], bound: Bound) -> list[str]:
    """Returns the problems of the keys of a table.

    The values of known keys must fit. A key near a known key counts as a slip. Other keys are left to the service.
    """
    found: list[str] = []
    for key, value in table.items():
        known = bound.fields.get(key)
        if known is not None:
            found.extend(f"{key}: {problem}" for problem in outside(value, known))
        elif (near := meant(key, bound.fields)) is not None:
            found.append(f'{key}: unknown name; did you mean "{near}"?')
    missing = [] if found else [key for key in bound.required if key not in table]
    return found + [f"{table!r} lacks {key!r}" for key in missing]


def _type_problem(value: Any, kind: str) -> str | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "number" and not (number and math.isfinite(value)):
        return "a number"
    if kind == "integer" and not (number and math.isfinite(value) and value == int(value)):
        return "a whole number"
    if kind == "boolean" and not isinstance(value, bool):
        return "true or false"
    if kind == "text" and not isinstance(value, str):
        return "a text"
    if kind == "table" and not isinstance(value, Mapping):
        return "a table"
    if kind == "list" and not isinstance(value, list | tuple):
        return "a list"
    return None


def _inside(value: float, bound: Bound) -> bool:
    return not (
        (bound.min is not None and value < bound.min)
        or (bound.max is not None and value > bound.max)
        or (bound.above is not None and value <= bound.above)
        or (bound.below is not None and value >= bound.below)
    )


def interval(bound: Bound) -> str:
    """Returns the range in mathematical notation, with all digits of large whole numbers: `[0, 2147483647]`."""
    low = f"[{_shown(bound.min)}" if bound.min is not None else f"({_shown(bound.above)}"
    high = f"{_shown(bound.max)}]" if bound.max is not None else f"{_shown(bound.below)})"
    return f"{'(-∞' if bound.min is None and bound.above is None else low}, {_closed(high, bound)}"


def _closed(high: str, bound: Bound) -> str:
    return "∞)" if bound.max is None and bound.below is None else high


def _shown(number: float | None) -> str:
    return str(number) if isinstance(number, int) else f"{number or 0:g}"


NAMES = ("max_tokens", "max_completion_tokens", "max_new_tokens")


def accepted(model: Model, protocol: str) -> tuple[str, ...]:
    """Returns the names under which the model takes the output bound over this protocol; () if not known.

    DashScope's native protocol has no `max_completion_tokens` (PROTOCOLS.md §3.2).
    """
    names = model.output_names or ()
    if protocol == "native":
        names = tuple(name for name in names if name != "max_completion_tokens")
    return names


def renamed(parameters: Mapping[str, Any], model: Model, protocol: str) -> dict[str, Any]:
    """Returns the parameters with the output bound under a name that the model takes. The order is kept."""
    names = accepted(model, protocol)
    if not names:
        return dict(parameters)
    return {(names[0] if key in NAMES and key not in names else key): value for key, value in parameters.items()}


def asked(parameters: Mapping[str, Any]) -> int | None:
    """Returns the output bound that a request states under any of NAMES, or None. Of several bounds: the lowest."""
    found = [parameters[name] for name in NAMES if isinstance(parameters.get(name), int)]
    return min(found) if found else None


def most_output(parameters: Mapping[str, Any], model: Model) -> int | None:
    """Returns the most output tokens that one answer can have, or None without a bound.

    The bound is the lower of the request's bound and the model's bound. The tokens that Qwen and ERNIE models think
    come on top, up to `thinking_budget` and up to the most that the model thinks (PROTOCOLS.md §3.2). OpenAI's bound
    includes these tokens.
    """
    stated, most = asked(parameters), model.max_output_tokens
    bound = stated if most is None else most if stated is None else min(stated, most)
    if bound is None or not declared(model.provider, "THINKING_ON_TOP"):
        return bound
    thought = _most_thought(parameters, model)
    return None if thought is None else bound + thought


def _most_thought(parameters: Mapping[str, Any], model: Model) -> int | None:
    switch, budget = parameters.get("enable_thinking"), parameters.get("thinking_budget")
    if model.thinking == "never" or (model.thinking != "always" and switch is False):
        return 0
    if model.thinking == "off" and switch is None and budget is None:
        return 0
    most = model.max_thinking_tokens
    if isinstance(budget, bool) or not isinstance(budget, int):
        return most
    return budget if most is None else min(budget, most)
