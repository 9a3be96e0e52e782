"""The `[answer]` of a job: its short fields or its schema file, as one JSON Schema.

Short fields become a schema in which every key is required and no other key may stand, as strict services want it. A
field that may be absent (`number?`) is required all the same and may be null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import JobError
from pipeline.job.schema import AnswerSection
from pipeline.job.values import did_you_mean, for_message

SCALARS = {
    "text": "string",
    "number": "number",
    "whole number": "integer",
    "yes or no": "boolean",
}
"""The words for a field's type, and JSON Schema's own words, which are understood too."""
MOST_FIELDS = 200
"""Fields of an answer; a model does not fill more."""

_LIST = "list of "


def resolved(section: AnswerSection, place: Path) -> AnswerSection:
    """The section with its schema as a table, and without `fields`. `place`: the job file, where a schema file's path
    begins.

    Raises ValueError with the key, what was found and what is expected.
    """
    if (section.fields is None) == (section.schema is None):
        raise ValueError("answer: set either `fields` or `schema`")
    if section.fields is not None:
        if not section.fields:
            raise ValueError('answer.fields: is empty; write for instance fields = { title = "text" }')
        found = _of_fields(section.fields)
    else:
        found = _of_file(section.schema, place) if isinstance(section.schema, str) else dict(section.table)
        _check_schema(found)
    if len(found["properties"]) > MOST_FIELDS:
        raise ValueError(f"answer: {len(found['properties'])} fields, at most {MOST_FIELDS} are possible")
    return AnswerSection(schema=found, form=section.form, again=section.again)


def _of_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    properties = {name: _property(value, f"answer.fields.{name}") for name, value in fields.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _property(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        unknown = set(value) - {"type", "about"}
        if unknown or "type" not in value:
            raise ValueError(f'{path}: found {for_message(value)}, expected {{ type = "number?", about = "in euros" }}')
        return {**_property(value["type"], f"{path}.type"), "description": str(value.get("about", ""))}
    if isinstance(value, (list, tuple)):
        if not value or not all(isinstance(choice, str) and choice for choice in value):
            raise ValueError(f'{path}: expected a list of texts to choose from, such as ["photo", "drawing"]')
        return {"type": "string", "enum": list(value)}
    if not isinstance(value, str):
        raise ValueError(f"{path}: found {for_message(value)}, expected {_EXPECTED}")
    return _typed(value.strip(), path)


_EXPECTED = (
    f"one of {', '.join(SCALARS)}, “list of …” of these, each also with “?” behind it where it may be absent, "
    "or a list of texts to choose from"
)


def _typed(word: str, path: str) -> dict[str, Any]:
    plain, optional = word.removesuffix("?").rstrip(), word.endswith("?")
    inner = plain.removeprefix(_LIST)
    json_type = SCALARS.get(inner) or (inner if inner in SCALARS.values() else None)
    if json_type is None:
        known = [*SCALARS, *(_LIST + name for name in SCALARS)]
        raise ValueError(f"{path}: found {for_message(word)}, expected {_EXPECTED}{did_you_mean(plain, known)}")
    if inner != plain:
        return {"type": ["array", "null"] if optional else "array", "items": {"type": json_type}}
    return {"type": [json_type, "null"] if optional else json_type}


def _of_file(name: str, place: Path) -> dict[str, Any]:
    path = place.parent / Path(name).expanduser()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"answer.schema: {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"answer.schema: {path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"answer.schema: {path} holds {for_message(found)}, expected a JSON Schema of an object")
    return found


def _check_schema(schema: Mapping[str, Any]) -> None:
    """Raises ValueError for a schema that is none, or whose answers are no objects with named fields."""
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        path = ".".join(map(str, error.absolute_path))
        raise ValueError(f"answer.schema: is no JSON Schema: {path or 'it'}: {error.message}") from None
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), Mapping) or not schema["properties"]:
        raise ValueError('answer.schema: expected "type": "object" with at least one entry in "properties"')
    if _refers_outside(schema):
        raise ValueError('answer.schema: "$ref" may point into the schema alone ("#/…")')


def _refers_outside(value: Any) -> bool:
    if isinstance(value, Mapping):
        ref = value.get("$ref")
        return (isinstance(ref, str) and not ref.startswith("#")) or any(map(_refers_outside, value.values()))
    return isinstance(value, list) and any(map(_refers_outside, value))


def refuse_names(name: str, section: AnswerSection, taken: frozenset[str]) -> None:
    """Raises JobError for a field that cannot be a column: one of `taken` (lower case) has the name, two differ only by
    case, or the name cannot be shown. `name`: the job's."""
    seen: dict[str, str] = {}
    for field in section.table["properties"]:
        if field.lower() in taken:
            raise JobError(f"{name}: answer: a column of ours is called {for_message(field)}; rename the field")
        if not field.strip() or not field.isprintable():
            raise JobError(f"{name}: answer: {for_message(field)} is no name for a column")
        if field.lower() in seen:
            raise JobError(f"{name}: answer: {seen[field.lower()]} and {field} differ by case alone; rename one")
        seen[field.lower()] = field
