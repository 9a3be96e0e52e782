"""The contact sheet of a search: the rows that were found, with their pictures and scores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pipeline.errors import JobError
from pipeline.job.load import LoadedJob
from pipeline.report.page import filled
from pipeline.run.report import MOST_BYTES, thinned, with_pictures
from pipeline.run.report_rows import MOST_VALUE, plain
from pipeline.run.search import Found, Hit, facts_of
from pipeline.store.disk import DISK, machine, replacing, write_all

SCRIPT = "search.js"


def write_search_page(spec: LoadedJob, found: Found, dest: Path) -> None:
    """Writes the page in one step. Raises JobError for a folder, and MachineError."""
    if dest.is_dir():
        raise JobError(f"-o {dest}: must be a file, and is a folder")
    rows = thinned(with_pictures(spec, [_row(hit) for hit in found.hits], MOST_BYTES), MOST_BYTES)
    data = {
        "job": spec.shown,
        "asked": found.asked,
        "made": time.time(),
        "facts": list(facts_of(found)),
        "rows": rows,
    }
    with machine("write the page", dest.parent):
        dest.parent.mkdir(parents=True, exist_ok=True)
        with replacing(DISK, dest) as fd:
            write_all(DISK, fd, filled(f"{spec.shown}: {found.asked}", SCRIPT, data))


def _row(hit: Hit) -> dict[str, Any]:
    sources = list(hit.row.get("source") or ())
    fields = {name: _shown(value) for name, value in hit.row.items() if name != "source" and value is not None}
    return {"id": hit.id, "score": hit.score, "source": sources[:8], "sources": len(sources), "fields": fields}


def _shown(value: Any) -> Any:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(plain(value))
    return text[:MOST_VALUE]
