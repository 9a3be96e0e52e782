"""The default prompts, with their versions, and the rendering of a job's prompts.

A default prompt is not part of a row's fingerprint: a better prompt in a later version never makes answered rows new.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pipeline.errors import refusal
from pipeline.job.values import did_you_mean


class DefaultPrompt(msgspec.Struct, frozen=True):
    version: int
    text: str


CAPTION = DefaultPrompt(
    1, "Describe this picture in one or two plain sentences. Say what is there; do not guess names."
)
CAPTION_VIDEO = DefaultPrompt(
    1, "These pictures are frames of one video, in order. Describe in a few plain sentences what happens."
)
OCR = DefaultPrompt(1, "Read all the text in this picture. Give only the text, line by line, in its own language.")

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def placeholders(template: str) -> list[str]:
    """Returns the column names that `template` uses, in order, each name once."""
    found = (match.group(1) for match in _PLACEHOLDER.finditer(template))
    return list(dict.fromkeys(name for name in found if name is not None))


def unknown_column(template: str, columns: Iterable[str]) -> str | None:
    """Returns a message about the first placeholder that is no column, or None."""
    known = list(columns)
    for name in placeholders(template):
        if name not in known:
            hint = did_you_mean(name, known) or "; write {{ and }} for braces that are meant as text"
            return f"the prompt uses {{{name}}}, but the manifest has no column {name!r}{hint}"
    return None


def render(template: str, columns: Mapping[str, Any]) -> str:
    """Returns `template` with each `{name}` replaced by the column's value as text, and `{{` and `}}` by braces.

    A null is an empty text, lists and tables are JSON. Raises Fault (Local.UnknownColumn) for a name that the row
    does not have.
    """
    if "{" not in template and "}" not in template:
        return template

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group(0)[0]
        if name not in columns:
            raise refusal("UnknownColumn", unknown_column(template, columns) or f"no column {name!r}")
        return _text(columns[name])

    return _PLACEHOLDER.sub(value, template)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict, tuple)):
        return msgspec.json.encode(value).decode()
    return str(value)
