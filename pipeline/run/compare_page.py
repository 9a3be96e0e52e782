"""The page of a comparison: the rows with both answers side by side, and buttons to pick the better one."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import JobError
from pipeline.job.load import LoadedJob
from pipeline.report.compared import Compared, figures, full_table
from pipeline.report.page import filled
from pipeline.run.report import MOST_BYTES, thinned, with_pictures
from pipeline.run.report_rows import MOST_TEXT, plain
from pipeline.store.disk import DISK, machine, replacing, write_all

SCRIPT = "compare.js"
ROWS = 2_000
"""Rows in the page, at most: the most different ones."""
_FACTS = ("model", "input_tokens", "output_tokens", "cost", "currency", "latency_ms")


def write_compare_page(spec: LoadedJob, compared: Compared, dest: Path) -> None:
    """Writes the page in one step. spec: the job of side A. Raises JobError for a folder, and MachineError."""
    if dest.is_dir():
        raise JobError(f"-o {dest}: must be a file, and is a folder")
    table = full_table(compared)
    rows = [_row(row, compared) for row in table.slice(0, ROWS).to_pylist()]
    rows = thinned(with_pictures(spec, rows, MOST_BYTES), MOST_BYTES)
    names = [side.name for side in compared.sides]
    head = {
        "job": spec.shown,
        "made": time.time(),
        "names": names,
        "figures": figures(compared),
        "total": table.num_rows,
        "shown": len(rows),
        "key": "picks:" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:16],
    }
    body = filled(f"{spec.shown}: A and B", SCRIPT, {**head, "rows": rows})
    with machine("write the page", dest.parent):
        dest.parent.mkdir(parents=True, exist_ok=True)
        with replacing(DISK, dest) as fd:
            write_all(DISK, fd, body)


def _row(row: Mapping[str, Any], compared: Compared) -> dict[str, Any]:
    sources = list(row["source"] or ())
    shown = {"id": row["id"], "similarity": row["similarity"], "pick": row["pick"], "source": sources[:8]}
    sides = {side: _answer(row, side, compared) for side in "ab"}
    return {name: plain(value) for name, value in {**shown, "sources": len(sources), **sides}.items()}


def _answer(row: Mapping[str, Any], side: str, compared: Compared) -> dict[str, Any]:
    first, *others = compared.columns
    text = row[f"{side}_{first}"]
    found = {name: row[f"{side}_{name}"] for name in _FACTS}
    fields = {name: value for name in others if (value := row[f"{side}_{name}"]) is not None}
    said = f"a vector of {len(text)} numbers" if isinstance(text, list) else (text or "")[:MOST_TEXT]
    return {**found, "text": said, "fields": {name: _shown(value) for name, value in fields.items()}}


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else plain(value)
