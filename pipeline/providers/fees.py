"""What parameters add to the bill beyond the tokens of one answer: more answers, or fees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.providers.models import Bound, Model
from pipeline.providers.parameter_bounds import known_bounds

CONTAINERS = frozenset(
    {"extra_body", "extra_parameters", "generation_config", "generationConfig", "options", "parameters",
     "sampling_params"}
)  # fmt: skip
"""Tables in which servers look for further parameters."""


def several_answers(parameters: Mapping[str, Any], model: Model) -> Iterator[str]:
    """A line for each parameter that asks for several answers to one question, also inside a table of parameters.

    One answer is kept of each question, so the others would be paid for and lost.
    """
    known = known_bounds(model.provider)
    for path, value in _walked(parameters):
        bound = model.bounds.get(path) or known.get(path.rpartition(".")[2])
        if bound is None or bound.cost != "answers" or value is None:
            continue
        if isinstance(value, bool) or value != 1:
            yield (
                f"provider.parameters.{path}: {value!r} asks for several answers at once, of which one would be kept; "
                "give the row several times under ids of their own, with [dedupe] equal = false"
            )


def _walked(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in parameters.items():
        yield prefix + name, value
        if name in CONTAINERS and isinstance(value, Mapping):
            yield from _walked(value, f"{prefix}{name}.")


def fee(parameters: Mapping[str, Any], model: Model) -> str | None:
    """The first parameter that may cost more than its tokens, so that a bill is not known; None without one.

    A parameter that no table knows may do anything. A user who knows that it costs nothing says so:
    `[models."…".bounds] name = { cost = "none" }`.
    """
    if not parameters:
        return None
    known = known_bounds(model.provider)
    for path, value in _walked(parameters):
        name = path.rpartition(".")[2]
        if not _idle(value) and _cost(model.bounds.get(name), known.get(name)) == "unknown" and not _free(name, value):
            return path
    return None


def _cost(own: Bound | None, known: Bound | None) -> str:
    if own is not None and own.cost is not None:
        return own.cost
    return "unknown" if known is None else known.cost or "none"


def _idle(value: Any) -> bool:
    """Whether a value switches nothing on: `false`, an empty list, `{ enable = false }`."""
    return value is None or value is False or value in ("", [], {}) or _switched_off(value)


def _switched_off(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("enable") is False


def _free(name: str, value: Any) -> bool:
    """Tools that are functions of the caller cost the tokens of their description; OpenAI's default tier nothing."""
    if name == "tools" and isinstance(value, list | tuple):
        return all(isinstance(tool, Mapping) and tool.get("type") == "function" for tool in value)
    return name == "service_tier" and value == "default"
