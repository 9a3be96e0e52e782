"""Makes a Row from the fields of one manifest line. An error in the line becomes the problem of the row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.job.schema import JobFile
from pipeline.manifest import fields, list_fields
from pipeline.manifest.columns import Partitions
from pipeline.manifest.ids import derived_id, literal_id
from pipeline.tasks import facts
from pipeline.types import Problem, Row

Parser = Callable[[Any, str, str], Any]

# Manifest field → (field of Row, parser). `image` and `images` fill the same field of Row.
_PARSERS: dict[str, tuple[str, Parser]] = {
    "image": ("images", fields.images),
    "images": ("images", fields.images),
    "audio": ("audio", fields.audio),
    "text": ("text", fields.text),
    "contents": ("contents", list_fields.contents),
    "prompt": ("prompt", fields.text),
    "prompts": ("prompts", list_fields.prompts),
    "system": ("system", fields.text),
    "parameters": ("parameters", fields.table),
    "messages": ("messages", list_fields.messages),
}
_FRAME_FIELDS = frozenset({"frames", "video", "fps", "max_frames"})
FIELDS = {
    "id": "the name of the row, as text exactly as it is written; without it, the path of the image in a folder, list "
    "or archive, else a hash of the row's fields",
    "image": "a path (relative to the folder of the manifest), or a URL (`file:`, `http:`, `https:`, `data:`, "
    "`oss:`); or a list of them",
    "images": "the same; the images of `image` come first",
    "audio": "as `image`, for audio files: for `embed`, and for `ask` where the model hears",
    "text": "a text to embed, for `embed` alone; in other tasks an ordinary column",
    "contents": "the parts of the input in the order in which they are sent: a list of tables, described below",
    "prompt": "the question; used instead of the prompt of the job",
    "prompts": "a list of questions that are asked one after the other, each with the answers before it",
    "system": "the system message; used instead of that of the job",
    "parameters": "a table of parameters of the service; they are used before those of the job",
    "messages": "earlier turns of the conversation: a list of tables, described below",
    "frames": "images that are the frames of one video: a list in order, a folder or a glob",
    "video": "the path or URL of a video file, or a list of them",
    "fps": "frames a second: at which `frames` were taken, or which the service reads from `video`",
    "max_frames": "the most frames that are sent of `frames` (taken evenly), or read from `video`",
}
"""The fields of a row, each with its meaning. In CSV, lists and tables are JSON text."""
LATER_FIELDS = frozenset({"video", "prompts"})
"""Fields that 0.1.0 did not know. In an output that 0.1.0 began, derived ids do not cover these fields."""
_BOXES = frozenset({bytes, dict, list})


class InputRules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules by which an output has read its manifest from the beginning. A later version keeps these rules.

    `derived_ids`: 1: as in 0.1.0, 2: over all fields. `columns`: names of fields that are plain columns in this output,
    because the output began before these names were fields.
    """

    derived_ids: int = 2
    columns: frozenset[str] = frozenset()


CURRENT_RULES = InputRules()


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a row stands. `ordinal`, `where`: see Row. `line`: the id of a row that cannot be read and has no id
    (`line:17`)."""

    ordinal: int
    where: str
    line: str


class Shaper:
    """Makes Rows for one job. `base`: the manifest's folder (absolute), in which relative paths begin.

    `text` is a field only for `embed`. In the other tasks a column of this name is a plain column. If `[columns]` gives
    `id` the column of another field (`id = "image"`), the column is the id and also this field. `as_written`: the
    output was begun by 0.1.0, which kept the blanks in the names of CSV columns.
    """

    def __init__(
        self, job: JobFile, base: str, rules: InputRules = CURRENT_RULES, partitions: Partitions | None = None
    ) -> None:
        self.base = base
        self.as_written = rules.derived_ids == 1
        self.encoding = job.source.encoding
        self.partitions = partitions if partitions is not None and partitions.columns else None
        self._covers_extra = rules.derived_ids > 1
        self._hidden = LATER_FIELDS if rules.derived_ids == 1 else frozenset()
        mapped = {field: name for field in FIELDS if (name := getattr(job.columns, field)) is not None}
        self.mapped = mapped
        self.id_name = mapped.get("id", "id")
        embeds = facts(job.task).embeds
        ours = [field for field in FIELDS if field != "id" and (field != "text" or embeds)]
        self.names: dict[str, str] = {f: f for f in ours if f not in mapped and f not in rules.columns}
        self.names.update({mapped[field]: field for field in FIELDS if field in mapped and field != "id"})

    def row(
        self,
        place: Place,
        values: Mapping[str, Any],
        literal: str | None = None,
        *,
        types: Mapping[str, Callable[[str], Any]] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Row:
        """Returns the row of one line.

        `literal`: the spelling of the id if `values` has a number there. `types`: turns the texts of the other columns
        into values. `extra`: columns that are not in the line; None: those of the file's folders. If the line has a
        value for an `extra` column, the line's value is taken. An `extra` column is a field only if
        the job's `[columns]` says so.
        """
        if extra is None and self.partitions is not None:
            extra = self.partitions.of(place.where.rpartition(":")[0])
        if extra:
            values, extra = self._joined(values, extra)
        try:
            ours, columns = self._sorted(values, types)
        except Fault as fault:
            return self.bad(place, fault.code.removeprefix("Local."), fault.message)
        raw = values
        if extra:
            columns.update(extra)
            raw = {**values, **{name: value for name, value in extra.items() if not self._is_ours(name)}}
        row_id: str | None = None
        given = False
        try:
            row_id = literal_id(values.get(self.id_name), literal, self.id_name)
            given = row_id is not None
            if row_id is None:
                row_id = self._derived(ours, {**values, **extra} if extra and self._covers_extra else values)
            parsed = self._parse(ours)
        except Fault as fault:
            return Row(
                ordinal=place.ordinal,
                where=place.where,
                id=row_id or place.line,
                given=given,
                columns=columns,
                raw=raw,
                problem=Problem(code=fault.code, message=fault.message),
            )
        return Row(ordinal=place.ordinal, where=place.where, id=row_id, given=given, columns=columns, raw=raw, **parsed)

    def _joined(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
        """Returns (the line's values with the `extra` columns that `[columns]` makes fields, the rest of `extra`)."""
        chosen, fields, rest = self.mapped.values(), dict[str, Any](), dict[str, Any]()
        for name, value in extra.items():
            if values.get(name) is None:
                (fields if name in chosen else rest)[name] = value
        return {**values, **fields} if fields else values, rest

    def _is_ours(self, name: str) -> bool:
        """Tells whether a column of this name is a field."""
        return name in self.names or name == self.id_name

    def also(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the columns of a table and of its folders.

        A folder column that has the name of a field is left out, unless `[columns]` names it.
        """
        found = self.partitions.columns if self.partitions is not None else ()
        chosen = self.mapped.values()
        return tuple(dict.fromkeys((*columns, *(one for one in found if one in chosen or not self._is_ours(one)))))

    def _sorted(
        self, values: Mapping[str, Any], types: Mapping[str, Callable[[str], Any]] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns (the fields that have a value, under the fields' names; the other columns)."""
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

    def _derived(self, ours: dict[str, Any], values: Mapping[str, Any]) -> str:
        if self._hidden:
            ours = {field: value for field, value in ours.items() if field not in self._hidden}
        return derived_id(ours or values)

    def bad(self, place: Place, name: str, message: str) -> Row:
        """Returns the row for a line that cannot be read."""
        problem = Problem(code=f"Local.{name}", message=message)
        return Row(ordinal=place.ordinal, where=place.where, id=place.line, given=False, problem=problem)

    def _parse(self, ours: dict[str, Any]) -> dict[str, Any]:
        parsed: dict[str, Any] = {}
        for field, value in ours.items():
            if field in _FRAME_FIELDS:
                if field == "video":
                    parsed["videos"] = list_fields.videos(ours, self.base)
                elif "frames" not in parsed:
                    parsed["frames"] = list_fields.frames(ours, self.base)
                continue
            target, parser = _PARSERS[field]
            found = parser(value, field, self.base)
            parsed[target] = parsed[target] + found if target in parsed else found
        if "prompt" in parsed and "prompts" in parsed:
            raise refusal("BadField", "the row has `prompt` and `prompts`: give one of them")
        return parsed


def without_bytes(value: Any, depth: int = 0) -> Any:
    """Returns a column's value with the number of bytes in the place of bytes, because picture data is never stored.

    Raises Fault `Local.BadLine` for a value that is nested deeper than fields.MAX_DEPTH.
    """
    if depth > fields.MAX_DEPTH:
        raise refusal("BadLine", f"nested deeper than {fields.MAX_DEPTH} levels")
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {key: without_bytes(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [without_bytes(item, depth + 1) for item in value]
    return value
