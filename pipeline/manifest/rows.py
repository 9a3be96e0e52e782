"""From the fields of one manifest line to a Row; whatever is wrong with the line becomes the row's problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.errors import Fault, refusal
from pipeline.job.schema import Job
from pipeline.manifest import fields, turns
from pipeline.manifest.ids import derived_id, literal_id
from pipeline.types import Problem, Row

Parser = Callable[[Any, str, str], Any]

# Manifest field → (field of Row, parser). `image` and `images` share a place; so do `fps`, `max_frames` with `frames`.
_PARSERS: dict[str, tuple[str, Parser]] = {
    "image": ("images", fields.images),
    "images": ("images", fields.images),
    "audio": ("audio", fields.sounds),
    "text": ("text", fields.text),
    "contents": ("contents", turns.contents),
    "prompt": ("prompt", fields.text),
    "system": ("system", fields.text),
    "parameters": ("parameters", fields.table),
    "messages": ("messages", turns.messages),
}
_FRAME_FIELDS = frozenset({"frames", "fps", "max_frames"})
FIELDS = ("id", *_PARSERS, "frames", "fps", "max_frames")
# Every later step that walks through a value (scrubbing, storing) is spared a recursion without end.
MAX_DEPTH = 64

_BOXES = frozenset({bytes, dict, list})


class Shaper:
    """Makes Rows for one job. `base` is the manifest's folder, absolute: relative paths are taken from it.

    `text` is a field of ours for `embed` alone; in the other tasks a column of that name travels along. An unmapped
    name that `[columns]` gives to another field (`id = "image"`) keeps its own meaning besides.
    """

    def __init__(self, job: Job, base: str) -> None:
        self.base = base
        mapped = {field: name for field in FIELDS if (name := getattr(job.columns, field)) is not None}
        self.mapped = mapped
        self.id_name = mapped.get("id", "id")
        ours = [field for field in FIELDS if field != "id" and (field != "text" or job.task == "embed")]
        self.names: dict[str, str] = {field: field for field in ours if field not in mapped}
        self.names.update({mapped[field]: field for field in FIELDS if field in mapped and field != "id"})

    def row(
        self,
        ordinal: int,
        where: str,
        line: str,
        values: Mapping[str, Any],
        literal: str | None = None,
        *,
        types: Mapping[str, Callable[[str], Any]] | None = None,
    ) -> Row:
        """One row. `literal` is the id's own spelling where `values` holds a number; `line` names a row without an id
        that cannot be read (`line:17`); `types` turns the texts of the other columns into values."""
        try:
            ours, columns = self._sorted(values, types)
        except Fault as fault:
            return self.bad(ordinal, where, line, fault.code.removeprefix("Local."), fault.message)
        row_id: str | None = None
        given = False
        try:
            row_id = literal_id(values.get(self.id_name), literal, self.id_name)
            given = row_id is not None
            if row_id is None:
                row_id = derived_id(ours or values)
            parsed = self._parse(ours)
        except Fault as fault:
            return Row(
                ordinal=ordinal,
                where=where,
                id=row_id or line,
                given=given,
                columns=columns,
                raw=values,
                problem=Problem(code=fault.code, message=fault.message),
            )
        return Row(ordinal=ordinal, where=where, id=row_id, given=given, columns=columns, raw=values, **parsed)

    def _sorted(
        self, values: Mapping[str, Any], types: Mapping[str, Callable[[str], Any]] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """(our fields that have a value, under our names; the other columns)."""
        names, id_name = self.names, self.id_name
        ours: dict[str, Any] = {}
        columns: dict[str, Any] = {}
        for name, value in values.items():
            field = names.get(name)
            if field is not None:
                if value is not None:
                    ours[field] = value
                    if type(value) in _BOXES:
                        without_bytes(value)
            elif name != id_name:
                if types is not None:
                    value = value and types[name](value)
                columns[name] = without_bytes(value) if type(value) in _BOXES else value
        return ours, columns

    def bad(self, ordinal: int, where: str, line: str, name: str, message: str) -> Row:
        """A row for a line that could not be read at all."""
        return Row(
            ordinal=ordinal, where=where, id=line, given=False, problem=Problem(code=f"Local.{name}", message=message)
        )

    def _parse(self, ours: dict[str, Any]) -> dict[str, Any]:
        parsed: dict[str, Any] = {}
        for field, value in ours.items():
            if field in _FRAME_FIELDS:
                if "frames" not in parsed:
                    parsed["frames"] = turns.frames(ours, self.base)
                continue
            target, parser = _PARSERS[field]
            found = parser(value, field, self.base)
            parsed[target] = parsed[target] + found if target in parsed else found
        return parsed


def without_bytes(value: Any, depth: int = 0) -> Any:
    """A column's value with bytes (a second picture, say) told by their count: no picture data is ever stored.

    Raises Fault `Local.BadLine` for what is nested deeper than MAX_DEPTH.
    """
    if depth > MAX_DEPTH:
        raise refusal("BadLine", f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {key: without_bytes(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [without_bytes(item, depth + 1) for item in value]
    return value
