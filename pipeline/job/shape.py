"""The meanings and bounds of a table's keys, and plain words for the first value that does not fit."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from pipeline.job.values import did_you_mean, for_message

_WORDS: dict[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class Bounds(NamedTuple):
    """The bounds of a number. None: no bound on that side."""

    above: float | None = None
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        parts = (("above", self.above), ("from", self.least), ("up to", self.most))
        return " and ".join(f"{word} {bound}" for word, bound in parts if bound is not None)


def means(
    meaning: str, *, above: float | None = None, least: float | None = None, most: float | None = None
) -> msgspec.Meta:
    """Returns the meaning of a key, and the bounds of its number. (msgspec's own bounds refuse `int | None`.)"""
    bounds = {"exclusiveMinimum": above, "minimum": least, "maximum": most}
    return msgspec.Meta(
        description=meaning,
        extra={"bounds": Bounds(above, least, most)},
        extra_json_schema={name: bound for name, bound in bounds.items() if bound is not None},
    )


@functools.cache
def hints_of(shape: type[msgspec.Struct]) -> Mapping[str, Any]:
    """Returns the type of every key of a section, in order."""
    return get_type_hints(shape)


@functools.cache
def notes_of(shape: type[msgspec.Struct]) -> Mapping[str, msgspec.Meta]:
    """Returns the bounds and the meaning of every key of a section that has them."""
    hints = get_type_hints(shape, include_extras=True)
    notes = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {name: note[0] for name, note in notes.items() if note}


def misfit(
    tables: Mapping[str, Any], shape: type[msgspec.Struct], prefix: str = "", examples: Mapping[str, str] = {}
) -> str | None:
    """Returns `limits.rpm: found "fast", expected a number` for the first value that does not fit `shape`, else None.

    prefix: the path of `tables` with its last dot ("limits."). examples: what to write for a missing key, by the key's
    path. Keys that `shape` does not have are ignored.
    """
    hints = hints_of(shape)
    for field in msgspec.structs.fields(shape):
        path = prefix + field.name
        if field.name in tables:
            value, note = tables[field.name], notes_of(shape).get(field.name)
            problem = _problem(value, hints[field.name], path, examples) or _out_of_bounds(value, note, path)
        elif field.required:
            example = examples.get(path)
            problem = f"{path}: this key is missing" + (f"; write {example}" if example else "")
        else:
            continue
        if problem:
            return problem
    return None


def words(hint: Any) -> str:
    """Returns what a key of this type takes, in words: `a number or text`."""
    return _expected(alternatives(hint), ".")


def _problem(value: Any, hint: Any, path: str, examples: Mapping[str, str] = {}) -> str | None:
    kinds = alternatives(hint)
    for kind in kinds:
        if isinstance(value, Mapping) and is_struct(kind):
            return misfit(value, kind, f"{path}.", examples)
        if isinstance(value, Mapping) and _origin(kind) is Mapping:
            return _first(_problem(item, _inner(kind, 1), f"{path}.{name}") for name, item in value.items())
        if isinstance(value, (list, tuple)) and _origin(kind) is Sequence:
            return _first(_problem(item, _inner(kind, 0), f"{path}[{place}]") for place, item in enumerate(value))
    if any(_fits(value, kind) for kind in kinds):
        return None
    return f"{path}: found {for_message(value)}, expected {_expected(kinds, path)}{_hint(value, kinds)}"


def _fits(value: Any, kind: Any) -> bool:
    """Tells whether a value is of the kind. The caller has checked tables and lists of the kind before."""
    if kind is Any:
        return True
    if kind is type(None):
        return value is None
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return kind in (str, bool) and isinstance(value, kind)


def _out_of_bounds(value: Any, note: msgspec.Meta | None, path: str) -> str | None:
    """Returns a message for a number outside the key's bounds, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    bounds = Bounds() if note is None or note.extra is None else note.extra["bounds"]
    low = -math.inf if bounds.least is None else bounds.least
    high = math.inf if bounds.most is None else bounds.most
    if math.isfinite(value) and low <= value <= high and (bounds.above is None or value > bounds.above):
        return None
    return f"{path}: found {for_message(value)}, expected a number {bounds}".rstrip()


def _expected(kinds: Sequence[Any], path: str) -> str:
    names: dict[str, None] = {}
    for kind in kinds:
        if kind is not type(None) and not (kind is int and float in kinds):
            names[_word(kind, path)] = None
    return " or ".join(names)


def _word(kind: Any, path: str) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if is_struct(kind):
        return "a table" if "." in path else f"a table [{path}]"
    if _origin(kind) is Mapping:
        return "a table"
    if _origin(kind) is Sequence:
        inner = _inner(kind, 0)
        return f"a list of {_WORDS[inner].removeprefix('a ')}" if inner is str else "a list"
    return _WORDS.get(kind, "another value")


def _hint(value: Any, kinds: Sequence[Any]) -> str:
    """Returns the nearest name, or what to do about quotes, or an empty text."""
    names = [name for kind in kinds if get_origin(kind) is Literal for name in get_args(kind)]
    if names and isinstance(value, str):
        return did_you_mean(value.lower(), names)
    if str in kinds:
        plain = isinstance(value, (int, float)) and kinds[0] is str
        return "; write it in quotes" if plain else ""
    if isinstance(value, str) and ((bool in kinds and value in ("true", "false")) or _is_number(value, kinds)):
        return "; write it without quotes"
    return ""


def _is_number(text: str, kinds: Sequence[Any]) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return float in kinds or (int in kinds and number.is_integer())


def alternatives(hint: Any) -> tuple[Any, ...]:
    """Returns the types of a union, or the single type in a tuple."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def is_struct(kind: Any) -> bool:
    """Tells whether a type is a table with keys of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _origin(kind: Any) -> Any:
    """Returns Mapping for every kind of table, Sequence for every kind of list, else None."""
    origin = get_origin(kind) or kind
    if not isinstance(origin, type) or issubclass(origin, (str, bytes)):
        return None
    if issubclass(origin, Mapping):
        return Mapping
    return Sequence if issubclass(origin, Sequence) else None


def _inner(kind: Any, place: int) -> Any:
    arguments = get_args(kind)
    return arguments[place] if len(arguments) > place else Any


def _first(problems: Any) -> str | None:
    return next((problem for problem in problems if problem), None)
