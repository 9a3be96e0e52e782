"""Compares one value with a bound (`Bound` in models.py): its type, range, choices, and what a table or list holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipeline.providers.edit_distance import meant
from pipeline.providers.models import Bound


def outside(value: Any, bound: Bound) -> list[str]:
    """What keeps a value from fitting a bound, each as a sentence about the value; [] when it fits."""
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
    """Known keys must fit; a key near a known one is taken for a slip; others are the service's affair."""
    found: list[str] = []
    for key, value in table.items():
        known = bound.fields.get(key)
        if known is not None:
            found.extend(f"{key}: {problem}" for problem in outside(value, known))
        elif (near := meant(key, bound.fields)) is not None:
            found.append(f"{key}: unknown name; did you mean {near!r}?")
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
    """The range as mathematicians write it, large whole numbers with all their digits: `[0, 2147483647]`."""
    low = f"[{_shown(bound.min)}" if bound.min is not None else f"({_shown(bound.above)}"
    high = f"{_shown(bound.max)}]" if bound.max is not None else f"{_shown(bound.below)})"
    return f"{'(-∞' if bound.min is None and bound.above is None else low}, {_closed(high, bound)}"


def _closed(high: str, bound: Bound) -> str:
    return "∞)" if bound.max is None and bound.below is None else high


def _shown(number: float | None) -> str:
    return str(number) if isinstance(number, int) else f"{number or 0:g}"
