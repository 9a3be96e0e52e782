"""Fills the fields of a JSON Schema from what the models see: a stand-in for a language model that answers by schema.

A field gets what its name asks for (a title, colours, tags, the text, a count), else what its type can hold. A picture
says nothing of most numbers: the first number that is read in the picture, else null or 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_DEEPEST = 5
"""Levels of objects that are filled; a schema may refer to itself."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the pictures of a question. tags: the likeliest things, best first. text: what is read."""

    caption: str = ""
    tags: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()
    text: str = ""
    width: int = 0
    height: int = 0


def schema_of(parameters: Mapping[str, Any], prompt: str) -> dict[str, Any] | None:
    """Returns the schema that an answer must fit: of `response_format`, else the one in the prompt; None without
    one."""
    form = parameters.get("response_format")
    if isinstance(form, Mapping) and isinstance(form.get("json_schema"), Mapping):
        schema = form["json_schema"].get("schema")
        return dict(schema) if isinstance(schema, Mapping) else None
    start = prompt.find("{", max(0, prompt.lower().find("json schema")))
    try:
        found, _ = json.JSONDecoder().raw_decode(prompt, start) if start >= 0 else (None, 0)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("properties"), dict) else None


def filled(schema: Mapping[str, Any], known: Known) -> str:
    """Returns an object that fits the schema, as JSON."""
    return msgspec.json.encode(_object(schema, known, schema, 0)).decode()


def _object(part: Mapping[str, Any], known: Known, root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth >= _DEEPEST:
        return {}
    properties = part.get("properties")
    named = properties.items() if isinstance(properties, Mapping) else ()
    return {name: _value(name, inner, known, root, depth + 1) for name, inner in named}


def _value(name: str, part: Any, known: Known, root: Mapping[str, Any], depth: int) -> Any:
    part = _plain(part, root)
    if "const" in part:
        return part["const"]
    if isinstance(part.get("enum"), list) and part["enum"]:
        return _choice(part["enum"], known)
    types = part.get("type", "string")
    types = [types] if isinstance(types, str) else list(types)
    kind = next((one for one in types if one != "null"), "null")
    if kind == "object":
        return _object(part, known, root, depth)
    if kind == "array":
        return _list(name, part, known, root, depth)
    if kind in ("number", "integer"):
        return _number(name, kind, known, may_be_null="null" in types)
    if kind == "boolean":
        words = set(re.findall(r"[a-z]+", name.lower()))
        return bool(known.text) if "text" in words else not words.isdisjoint(" ".join(known.tags).split())
    return _text(name, known) if kind == "string" else None


def _plain(part: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part itself; what it refers to; of several possibilities the first that is more than null."""
    for _ in range(_DEEPEST):
        if not isinstance(part, Mapping):
            return {}
        choices = part.get("anyOf") or part.get("oneOf")
        if isinstance(part.get("$ref"), str):
            found: Any = root
            for step in part["$ref"].removeprefix("#").strip("/").split("/"):
                found = found.get(step, {}) if isinstance(found, Mapping) and step else found
            part = found
        elif choices:
            part = next((one for one in choices if isinstance(one, Mapping) and one.get("type") != "null"), {})
        else:
            return part
    return part if isinstance(part, Mapping) else {}


def _choice(choices: Sequence[Any], known: Known) -> Any:
    """The choice that is named in what is seen, else the first."""
    seen = f"{known.caption} {' '.join(known.tags)}".lower()
    return next((choice for choice in choices if isinstance(choice, str) and choice.lower() in seen), choices[0])


def _list(name: str, part: Mapping[str, Any], known: Known, root: Mapping[str, Any], depth: int) -> list[Any]:
    items = _plain(part.get("items", {}), root)
    kind = items.get("type", "string")
    if kind == "string" and "enum" not in items:
        return list(_texts(name, known))
    if kind in ("number", "integer"):
        numbers = [float(found.replace(",", ".")) for found in _NUMBER.findall(known.text)]
        return [int(number) for number in numbers] if kind == "integer" else numbers
    return [] if depth >= _DEEPEST else [_value(name, items, known, root, depth + 1)]


def _texts(name: str, known: Known) -> Sequence[str]:
    if "colo" in name.lower():
        return known.colours
    if any(word in name.lower() for word in ("text", "line", "word")):
        return known.text.splitlines()
    return known.tags[:5]


def _text(name: str, known: Known) -> str:
    lower = name.lower()
    if "colo" in lower:
        return known.colours[0] if known.colours else ""
    if any(word in lower for word in ("text", "ocr", "read")):
        return known.text
    if any(word in lower for word in ("title", "name", "subject", "kind", "type", "category")):
        return known.tags[0] if known.tags else ""
    return known.caption


def _number(name: str, kind: str, known: Known, *, may_be_null: bool) -> float | int | None:
    lower = name.lower()
    if lower in ("width", "height"):
        return known.width if lower == "width" else known.height
    found = _NUMBER.search(known.text)
    if found is None:
        return None if may_be_null else 0
    number = float(found.group().replace(",", "."))
    return int(number) if kind == "integer" else number
