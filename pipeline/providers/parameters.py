"""Checks parameters before anything is sent: the bounds of known parameters, and misspelt names of known parameters."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.providers import declared
from pipeline.providers.cost import several_answers
from pipeline.providers.edit_distance import meant
from pipeline.providers.media_options import IMAGE, VIDEO, form_of
from pipeline.providers.model import Bound, Model
from pipeline.providers.parameter_bounds import NAMES as OUTPUT_NAMES
from pipeline.providers.parameter_bounds import accepted, known_bounds, outside
from pipeline.providers.parameter_bounds import asked as output_asked
from pipeline.types import Endpoint

OURS = {
    "model": "it is provider.model",
    "messages": "turns come from the manifest and the prompt",
    "input": "inputs come from the manifest",
    "contents": "items come from the manifest",
    "stream": "it is provider.stream",
}


def check_parameters(parameters: Mapping[str, Any], model: Model, endpoint: Endpoint) -> list[str]:
    """Returns the problems of the parameters, or [] if no problem is known.

    Each line has the path of the key, the value that was found and the value that is expected:
    `provider.parameters.temperature: 3 is outside [0, 2)`. An unknown name is passed on to a server or model of which
    little is known, unless the name is within two edits of a known name. For a known model the services refuse or
    ignore an unknown name for every row, so the name must be declared.
    """
    known = known_bounds(endpoint.provider, endpoint.protocol)
    found = list(several_answers(parameters, model))
    for name, value in parameters.items():
        path = f"provider.parameters.{name}"
        bound = model.bounds.get(name) or known.get(name)
        if name in OURS:
            found.append(f"{path}: is not a parameter here; {OURS[name]}")
        elif bound is not None:
            found.extend(f"{path}: {problem}" for problem in _problems(name, value, bound, model, endpoint))
        elif (near := _nearest(endpoint, name, tuple(model.bounds))) is not None:
            found.append(f'{path}: unknown name; did you mean "{near}"?')
        elif model.known and not declared(endpoint.provider, "OPEN_PARAMETERS"):
            declare = f'[models."{model.name}".bounds] {name} = {{}}'
            found.append(f"{path}: not among the published parameters; if {model.name} takes it, declare it: {declare}")
    stated = [name for name in OUTPUT_NAMES if name in parameters]
    if len(stated) > 1 and len({repr(parameters[name]) for name in stated}) > 1:
        found.append(f"provider.parameters: {' and '.join(stated)} mean the same and differ")
    elif len(stated) > 1 and not set(stated) <= set(accepted(model, endpoint.protocol) or stated):
        found.append(f"provider.parameters: {' and '.join(stated)} mean the same; give one")
    found.extend(_contradictions(parameters))
    return found


def _nearest(endpoint: Endpoint, name: str, more: tuple[str, ...]) -> str | None:
    return _nearest_of(endpoint.provider, endpoint.protocol, name, more)


@functools.lru_cache(maxsize=512)
def _nearest_of(provider: str, protocol: str, name: str, more: tuple[str, ...]) -> str | None:
    return meant(name, (*known_bounds(provider, protocol), *more))


def _contradictions(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yields a line for each group of parameters that contradict each other although each alone may be right."""
    least, most = parameters.get("min_pixels"), parameters.get("max_pixels")
    for low, high in _pairs(least, most):
        if low > high:
            yield f"provider.parameters.min_pixels: {low} is more than max_pixels, which is {high}"
            break
    bound = output_asked(parameters)
    for name in ("min_tokens", "min_new_tokens"):
        floor = parameters.get(name)
        if bound is not None and isinstance(floor, int) and floor > bound:
            yield f"provider.parameters.{name}: {floor} is more than the bound on output tokens, which is {bound}"
    stop = parameters.get("stop")
    if isinstance(stop, list | tuple) and len({isinstance(item, str) for item in stop}) > 1:
        yield "provider.parameters.stop: texts and token ids in one list; give one kind"


def _pairs(least: Any, most: Any) -> list[tuple[float, float]]:
    """Returns the two values for each picture, whether they are given once or per picture."""
    lows, highs = (value if isinstance(value, list | tuple) else None for value in (least, most))
    count = max(len(lows or ()), len(highs or ()), 1)
    pairs = zip((lows or [least] * count), (highs or [most] * count), strict=False)
    return [(a, b) for a, b in pairs if _number(a) and _number(b)]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _problems(name: str, value: Any, bound: Bound, model: Model, endpoint: Endpoint) -> list[str]:
    if bound.refused:
        return [f"{model.name} does not take it; leave it out"]
    if name in ("dimension", "dimensions") and model.dimensions and value not in model.dimensions:
        return [f"{value!r} is not one of {', '.join(map(str, model.dimensions))}"]
    if name in OUTPUT_NAMES:
        return _output_problems(value, bound, model, endpoint)
    most = model.max_thinking_tokens
    if name == "thinking_budget" and most is not None and _number(value) and value > most:
        return [f"{value!r} is outside [0, {most}]"]
    if name == "ocr_options" and model.ocr_options is False:
        return [f"{model.name} is no OCR model; leave it out"]
    if name in IMAGE[form_of(endpoint)] | VIDEO[form_of(endpoint)] and isinstance(value, list | tuple):
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
