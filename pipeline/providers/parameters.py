"""Checks parameters before anything is sent: known ones against their bounds, near-misses of known names."""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from pipeline.providers.edit_distance import meant
from pipeline.providers.models import Bound, Model
from pipeline.providers.options import PICTURE, VIDEO, Form
from pipeline.providers.output_bound import NAMES as OUTPUT_NAMES
from pipeline.providers.output_bound import accepted
from pipeline.types import Endpoint

OURS = {
    "model": "it is provider.model",
    "messages": "turns come from the manifest and the prompt",
    "input": "inputs come from the manifest",
    "contents": "items come from the manifest",
    "stream": "it is provider.stream",
}


def check_parameters(parameters: Mapping[str, Any], model: Model, endpoint: Endpoint) -> list[str]:
    """What is wrong with the parameters, one line each with the key's path, what was found and what is expected:
    `provider.parameters.temperature: 3 is outside [0, 2)`. Empty when nothing is known to be wrong.

    A name that is not known is passed on to a server or model of which little is known, unless it is within two edits
    of a known one. For a model that is known, the services refuse or ignore it for every row, so it must be declared.
    """
    known = _bounds(endpoint.provider)
    found: list[str] = []
    for name, value in parameters.items():
        path = f"provider.parameters.{name}"
        bound = model.bounds.get(name) or known.get(name)
        if name in OURS:
            found.append(f"{path}: is not a parameter here; {OURS[name]}")
        elif bound is not None:
            found.extend(f"{path}: {problem}" for problem in _problems(name, value, bound, model, endpoint))
        elif (near := _nearest(endpoint.provider, name, tuple(model.bounds))) is not None:
            found.append(f"{path}: unknown name; did you mean {near!r}?")
        elif model.known and endpoint.provider != "openai":
            declare = f'[models."{model.name}".bounds] {name} = {{}}'
            found.append(f"{path}: not among the published parameters; if {model.name} takes it, declare it: {declare}")
    stated = [name for name in OUTPUT_NAMES if name in parameters]
    if len(stated) > 1 and len({repr(parameters[name]) for name in stated}) > 1:
        found.append(f"provider.parameters: {' and '.join(stated)} mean the same and differ")
    elif len(stated) > 1 and not set(stated) <= set(accepted(model, endpoint.protocol) or stated):
        found.append(f"provider.parameters: {' and '.join(stated)} mean the same; give one")
    return found


@functools.cache
def _bounds(provider: str) -> dict[str, Bound]:
    text = resources.files("pipeline.providers").joinpath("parameters.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text).get(provider, {}), dict[str, Bound])


@functools.lru_cache(maxsize=512)
def _nearest(provider: str, name: str, more: tuple[str, ...]) -> str | None:
    return meant(name, (*_bounds(provider), *more))


def _problems(name: str, value: Any, bound: Bound, model: Model, endpoint: Endpoint) -> list[str]:
    if bound.refused:
        return [f"{model.name} does not take it; leave it out"]
    if name in ("dimension", "dimensions") and model.dimensions and value not in model.dimensions:
        return [f"{value!r} is not one of {', '.join(map(str, model.dimensions))}"]
    if name in OUTPUT_NAMES:
        return _output_problems(value, bound, model, endpoint)
    if name == "ocr_options" and model.ocr_options is False:
        return [f"{model.name} is no OCR model; leave it out"]
    if name in PICTURE[_form(endpoint)] | VIDEO[_form(endpoint)] and isinstance(value, list | tuple):
        return [problem for item in value if item is not None for problem in outside(item, bound)]
    if value is None:
        return []
    return outside(value, bound)


def _output_problems(value: Any, bound: Bound, model: Model, endpoint: Endpoint) -> list[str]:
    names = accepted(model, endpoint.protocol)
    general = model.bounds.get(names[0]) if names else None
    problems = outside(value, general or bound)
    most = model.max_output_tokens
    if not problems and most is not None and value > most:
        problems = [f"{value!r} is outside [1, {most}]"]
    return problems


def _form(endpoint: Endpoint) -> Form:
    if endpoint.provider == "dashscope":
        return "native" if endpoint.protocol == "native" else "compatible"
    return "qianfan" if endpoint.provider == "qianfan" else "openai"


def outside(value: Any, bound: Bound) -> list[str]:
    """What keeps a value from fitting a bound; [] when it fits."""
    if bound.fixed is not None and value != bound.fixed:
        return [f"{value!r} is not taken; it is always {bound.fixed!r}"]
    if bound.choices is not None and value not in bound.choices:
        return [f"{value!r} is not one of {', '.join(map(repr, bound.choices))}"]
    wanted = _type_problem(value, bound.type)
    if wanted:
        return [f"{value!r} is not {wanted}"]
    if isinstance(value, int | float) and not isinstance(value, bool) and not _inside(value, bound):
        return [f"{value!r} is outside {_interval(bound)}"]
    return []


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
    return None


def _inside(value: float, bound: Bound) -> bool:
    return not (
        (bound.min is not None and value < bound.min)
        or (bound.max is not None and value > bound.max)
        or (bound.above is not None and value <= bound.above)
        or (bound.below is not None and value >= bound.below)
    )


def _interval(bound: Bound) -> str:
    low = f"[{bound.min:g}" if bound.min is not None else f"({bound.above:g}" if bound.above is not None else "(-∞"
    high = f"{bound.max:g}]" if bound.max is not None else f"{bound.below:g})" if bound.below is not None else "∞)"
    return f"{low}, {high}"
