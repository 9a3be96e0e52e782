"""The OCR tasks of qwen-vl-ocr (`parameters.ocr_options`), served from what was read: text, places, rows, pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import msgspec

from pipeline.offline.error_replies import Refusal
from pipeline.offline.models import answering, ocr

_TASKS = (
    "advanced_recognition",
    "key_information_extraction",
    "table_parsing",
    "document_parsing",
    "formula_recognition",
    "text_recognition",
    "multi_lan",
)
_PAIR = re.compile(r"^\s*([^:\uff1a]{1,40})[:\uff1a]\s*(\S.*)$")


def answer(options: object, images: Sequence[bytes]) -> dict[str, Any]:
    """The content item of the reply: `text`, and `ocr_result` for the tasks that have one. Raises Refusal."""
    if not isinstance(options, Mapping) or options.get("task") not in _TASKS:
        raise Refusal("parameter", f"ocr_options.task should be one of {', '.join(_TASKS)}")
    lines = answering.read(images[-1])
    task = options["task"]
    if task == "advanced_recognition":
        words = answering.words_info(lines)
        return {"text": _fenced("json", words), "ocr_result": {"words_info": words}}
    if task == "key_information_extraction":
        pairs = _pairs(lines, _schema(options))
        return {"text": _fenced("json", pairs), "ocr_result": {"kv_result": pairs}}
    if task == "table_parsing":
        return {"text": f"```html\n{_table(lines)}\n```"}
    if task in ("document_parsing", "formula_recognition"):
        return {"text": f"```latex\n{ocr.as_text(lines)}\n```"}
    return {"text": ocr.as_text(lines)}


def _fenced(kind: str, value: object) -> str:
    return f"```{kind}\n{msgspec.json.encode(value).decode()}\n```"


def _schema(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    config = options.get("task_config")
    schema = config.get("result_schema") if isinstance(config, Mapping) else None
    if schema is not None and not isinstance(schema, Mapping):
        raise Refusal("parameter", "ocr_options.task_config.result_schema should be an object")
    return schema


def _pairs(lines: tuple[ocr.Line, ...], schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """`name: value` lines as pairs; with a schema only its names, empty where the picture has no such line."""
    found: dict[str, Any] = {}
    for row in ocr.as_text(lines).split("\n"):
        match = _PAIR.match(row)
        if match is not None:
            found.setdefault(match[1].strip(), match[2].strip())
    if schema is None:
        return found
    lowered = {name.lower(): value for name, value in found.items()}
    return {name: lowered.get(str(name).lower(), "") for name in schema}


def _table(lines: tuple[ocr.Line, ...]) -> str:
    rows: dict[int, list[str]] = {}
    for line in lines:
        rows.setdefault(line.row, []).append(f"<td>{escape(line.text)}</td>")
    return "<table>" + "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows.values()) + "</table>"
