"""The reference of the job file: `python -m pipeline.run.job_reference DIR` writes README.md and job.schema.json there.

Both come from the meanings, types and bounds in pipeline/job/schema.py, and from the shape of a model's table.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from pipeline.job.schema import JobFile
from pipeline.job.shape import alternatives, hints_of, is_struct, notes_of, words
from pipeline.manifest.reference import with_section
from pipeline.providers.model import Bound, Model

SCHEMA_NAME = "job.schema.json"
BEGIN = "<!-- written by python -m pipeline.run.job_reference jobs: begin -->"
END = "<!-- written by python -m pipeline.run.job_reference jobs: end -->"
NOT_A_USERS = ("name", "provider", "known")
"""Fields of a Model that no table sets."""
LIKE = "Another model whose facts are taken over, except price, retirement and rate limits."


def reference() -> str:
    """Returns the section as Markdown: the keys outside of tables, each table with its keys, and the table of a
    model."""
    hints = hints_of(JobFile)
    plain = [name for name in hints if _section(hints[name]) is None or name == "manifest"]
    parts = ["## The keys before any table", "", *_table(JobFile, [name for name in plain if name != "models"])]
    for name, hint in hints.items():
        section = _section(hint)
        if section is not None:
            about = " ".join((inspect.getdoc(section) or "").split())
            parts += [f"## [{name}]", "", about, "", *_table(section, list(hints_of(section)))]
    meaning = notes_of(JobFile)["models"].description
    return "\n".join([*parts, '## [models."name"]', "", str(meaning), "", *_model()]).rstrip()


def schema() -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) of a job file, for editors."""
    _, parts = msgspec.json.schema_components((JobFile, Model), ref_template="#/$defs/{name}")
    model = parts.pop("Model")
    for name in NOT_A_USERS:
        del model["properties"][name]
    model["properties"]["like"] = {"type": "string", "description": LIKE}
    del model["required"]
    job = parts.pop("JobFile")
    job["properties"]["models"]["additionalProperties"] = {"$ref": "#/$defs/Model"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_tidy(job),
        "title": "Job file",
        "description": "A job of pipeline: what is asked about which rows, of which model.",
        "$defs": {name: _tidy(part) for name, part in sorted({**parts, "Model": model}.items())},
    }


def write(folder: Path) -> None:
    """Updates README.md and the schema in `folder`."""
    page = folder / "README.md"
    page.write_text(with_reference(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / SCHEMA_NAME).write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def with_reference(page: str) -> str:
    """Returns the page with the current section. Raises ValueError if the page has no section."""
    return with_section(page, BEGIN, END, reference())


def _section(hint: Any) -> type[msgspec.Struct] | None:
    return next((kind for kind in alternatives(hint) if is_struct(kind)), None)


def _table(shape: type[msgspec.Struct], names: Iterable[str], *, defaults: bool = True) -> list[str]:
    head = ("key", "value", "default", "meaning") if defaults else ("key", "value", "meaning")
    rows = [(f"`{name}`", _value(shape, name), _default(shape, name), _meaning(shape, name)) for name in names]
    lines = [row if defaults else (*row[:2], row[3]) for row in rows]
    return [_line(head), f"|{' --- |' * len(head)}", *map(_line, lines), ""]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _model() -> Iterator[str]:
    """Yields lines: first the keys of a model's table, then the tables in that table."""
    hints = {name: hint for name, hint in hints_of(Model).items() if name not in NOT_A_USERS}
    lines = _table(Model, hints, defaults=False)
    yield from (*lines[:2], _line(("`like`", "text", LIKE)), *lines[2:])
    shapes: dict[type[msgspec.Struct], list[str]] = {}
    for name, hint in hints.items():
        for shape in filter(is_struct, alternatives(hint)):
            shapes.setdefault(shape, []).append(f"`{name}`")
    for shape, names in (*shapes.items(), (Bound, ["each parameter in `bounds`"])):
        keys = ", ".join(f"`{name}`" for name in hints_of(shape))
        about = " ".join((inspect.getdoc(shape) or "").split())
        yield from (f"**{' and '.join(names)}** ({keys}). {about}", "")


def _value(shape: type[msgspec.Struct], name: str) -> str:
    note = notes_of(shape).get(name)
    bounds = "" if note is None or note.extra is None else str(note.extra["bounds"])
    return f"{words(hints_of(shape)[name])} {bounds}".strip()


def _default(shape: type[msgspec.Struct], name: str) -> str:
    field = next(field for field in msgspec.structs.fields(shape) if field.name == name)
    if field.required:
        return "must be given"
    simple = isinstance(field.default, (bool, int, float, str))
    return f"`{json.dumps(field.default)}`" if simple else ""


def _meaning(shape: type[msgspec.Struct], name: str) -> str:
    note = notes_of(shape).get(name)
    return str(note.description) if note is not None else ""


def _tidy(part: dict[str, Any]) -> dict[str, Any]:
    """Returns a part of the schema with its description on one line.

    Leaves out titles, and defaults that are null, a list or an object.
    """
    if "description" in part:
        part["description"] = " ".join(part["description"].split())
    for value in part.get("properties", {}).values():
        if value.get("default", 0) is None or isinstance(value.get("default"), (dict, list, tuple)):
            del value["default"]
    return {key: value for key, value in part.items() if key != "title"}


if __name__ == "__main__":
    write(Path(sys.argv[1]))
