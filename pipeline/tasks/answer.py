"""Typed answers: the words that ask for them, and the values of their columns from a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.job.schema import AnswerSection
from pipeline.tasks.prompts import DefaultPrompt
from pipeline.types import ColumnType, TaskColumn

if TYPE_CHECKING:
    import jsonschema

FIELDS = DefaultPrompt(1, "Look at what is shown here, and fill in the fields that are described below.")
"""The prompt of a row that has none, where the job asks for typed answers."""
MARK = "JSON Schema:"
"""Stands before the schema in a prompt. The embedded service finds the schema behind these words."""

_PLAIN: dict[str, ColumnType] = {
    "string": "text",
    "number": "number",
    "integer": "whole number",
    "boolean": "yes or no",
}
_LISTS: dict[str, ColumnType] = {
    "string": "list of text",
    "number": "list of number",
    "integer": "list of whole number",
    "boolean": "list of yes or no",
}
_WHOLE = range(-(2**63), 2**63)
_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)
_TRIES = 20
"""Places in a reply where an object is looked for."""


class Misfit(ValueError):
    """A reply does not fit the schema. The message says where, without the reply's own text."""


class AnswerReader:
    """Reads replies by the schema of a resolved `[answer]`. `columns`: one for each property of the schema; what has no
    type of a column's own (an object, a list of objects, a mixture) is text that holds JSON."""

    def __init__(self, section: AnswerSection) -> None:
        import jsonschema

        self._schema = section.table
        self._validator = jsonschema.Draft202012Validator(section.table)
        self.columns = tuple(
            TaskColumn(name, column_type(part), str(part.get("description", "")) if isinstance(part, Mapping) else "")
            for name, part in self._schema["properties"].items()
        )

    def __call__(self, text: str) -> dict[str, Any]:
        """Returns the value of every column. The object may stand in a fence, or in prose. Raises Misfit."""
        why = "the reply holds no JSON object"
        for found in _objects(text):
            completed = self._with_nulls(found)
            wrong = next(self._validator.iter_errors(completed), None)
            if wrong is None:
                return {column.name: _value(completed.get(column.name), column) for column in self.columns}
            why = _said(wrong)
        raise Misfit(why)

    def _with_nulls(self, found: dict[str, Any]) -> dict[str, Any]:
        """The object with null for each property that may be null and is absent: models leave such properties out."""
        properties = self._schema["properties"].items()
        absent = {name: None for name, part in properties if name not in found and _may_be_null(part)}
        return {**found, **absent} if absent else found


def column_type(part: Any) -> ColumnType:
    """Returns the type of the column for a property's schema."""
    types = _types(part)
    if len(types) != 1:
        return "text"
    if types == ["array"]:
        inner = _types(part.get("items"))
        return _LISTS.get(inner[0], "text") if len(inner) == 1 else "text"
    return _PLAIN.get(types[0], "text")


def instruction(section: AnswerSection) -> str:
    """Returns the words that follow the prompt. A service that enforces the schema is told that JSON is wanted, as some
    insist on it."""
    if section.form == "json_schema":
        return "Answer with one JSON object."
    schema = msgspec.json.encode(section.schema).decode()
    return f"Answer with one JSON object and nothing else. The object fits this {MARK}\n{schema}"


def response_format(section: AnswerSection) -> dict[str, Any] | None:
    """Returns the parameter `response_format`, or None where the prompt alone asks. `strict` where a strict service
    takes the schema."""
    if section.form == "prompt":
        return None
    if section.form == "json_object":
        return {"type": "json_object"}
    schema = section.schema
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": _is_strict(schema)},
    }


def _is_strict(part: Any) -> bool:
    """Whether every object names all of its keys as required, and allows no other: what OpenAI's strict mode takes."""
    if isinstance(part, list):
        return all(map(_is_strict, part))
    if not isinstance(part, Mapping):
        return True
    properties = part.get("properties")
    if isinstance(properties, Mapping) and (
        part.get("additionalProperties") is not False or set(part.get("required", ())) != set(properties)
    ):
        return False
    return all(_is_strict(value) for value in part.values())


def _types(part: Any) -> list[str]:
    """Returns the types of a schema's values, without null."""
    if not isinstance(part, Mapping):
        return []
    found = part.get("type")
    if found is None and "enum" in part:
        found = ["string"] if all(isinstance(choice, str) for choice in part["enum"] if choice is not None) else []
    if found is None and (choices := part.get("anyOf") or part.get("oneOf")):
        found = [type_ for choice in choices for type_ in (_types(choice) or ["null" if _is_null(choice) else "?"])]
    types = [found] if isinstance(found, str) else list(found or ())
    return sorted({type_ for type_ in types if type_ != "null"})


def _is_null(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "null"


def _may_be_null(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return False
    types = part.get("type")
    return (
        types == "null"
        or "null" in (types or ())
        or any(map(_may_be_null, (*part.get("anyOf", ()), *part.get("oneOf", ()))))
    )


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in a reply: the whole of it, what stands in a fence, else from each brace on."""
    import json

    for whole in (text.strip(), *(match.group(1).strip() for match in _FENCED.finditer(text))):
        try:
            found = msgspec.json.decode(whole)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        if isinstance(found, list):
            yield from (one for one in found if isinstance(one, dict) and len(found) == 1)
            return  # several objects are several answers, and nobody knows which one is meant
        if isinstance(found, dict):
            yield found
    decoder, start = json.JSONDecoder(), 0
    for _ in range(_TRIES):
        start = text.find("{", start)
        if start < 0:
            return
        try:
            _, end = decoder.raw_decode(text, start)
            yield msgspec.json.decode(text[start:end])
        except (ValueError, RecursionError, UnicodeError, msgspec.DecodeError):
            end = start + 1
        start = end


def _value(value: Any, column: TaskColumn) -> Any:
    """The value as the column holds it. Raises Misfit for a whole number that no column holds."""
    if value is None:
        return None
    match column.type:
        case "number":
            return float(value)
        case "whole number":
            return _whole(value, column.name)
        case "list of number":
            return [None if one is None else float(one) for one in value]
        case "list of whole number":
            return [None if one is None else _whole(one, column.name) for one in value]
        case "text" if not isinstance(value, str):
            return msgspec.json.encode(value).decode()
    return value


def _whole(value: float, name: str) -> int:
    if int(value) not in _WHOLE:
        raise Misfit(f"{name}: the number has more than 64 bits")
    return int(value)


def _said(error: jsonschema.ValidationError) -> str:
    """Where and what does not fit. A value of the reply is not shown: it may be long, or hold anything."""
    place = ".".join(map(str, error.absolute_path)) or "the object"
    match str(error.validator):
        case "type":
            types = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
            return f"{place}: found {_kind(error.instance)}, expected {' or '.join(map(str, types))}"
        case "required":
            missing = next((name for name in error.validator_value if name not in error.instance), "a key")
            return f"{place}: {missing} is missing"
        case "enum":
            return f"{place}: is none of {', '.join(map(str, error.validator_value))}"[:300]
        case "additionalProperties":
            return f"{place}: has keys that the schema does not have"
    return f"{place}: does not fit `{error.validator}`"


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    kinds: dict[type, str] = {int: "a number", float: "a number", str: "a string", list: "an array"}
    return kinds.get(type(value), "an object")
