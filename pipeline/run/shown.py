"""What a job shows in a notebook: some results with thumbnails of their pictures."""

from __future__ import annotations

from typing import Any

from pipeline.job.load import LoadedJob
from pipeline.report.html import lines_html, table_html
from pipeline.report.summary import status_lines
from pipeline.run.output import connect, status
from pipeline.run.report_pictures import picture
from pipeline.store.datasets import OUTCOME_COLUMNS, column_names

SHOWN = 5
"""Results that a notebook shows."""
SIDE = 120
"""Pixels of a thumbnail's longer side; a WebP of this size is 2 to 4 KB."""
_KEPT = ("id",)


def job_html(spec: LoadedJob) -> str:
    """The status of a job, and its first results with thumbnails. Raises PipelineError."""
    parts = [lines_html(status_lines(status(spec)))]
    rows = _first_rows(spec)
    if rows:
        pictures = [_thumbnail(spec, row.pop("source")) for row in rows]
        parts.append(table_html(rows, pictures if any(pictures) else ()))
    return "".join(parts)


def _first_rows(spec: LoadedJob) -> list[dict[str, Any]]:
    """Some results: the id, the picture's reference, and the columns of the answer and of the row."""
    connection = connect(spec)
    ours = [name for name in column_names(OUTCOME_COLUMNS) if name not in (*_KEPT, "source")]
    known = connection.sql("select * from results limit 0").columns
    left_out = ", ".join(name for name in [*ours, "embedding", "blocks"] if name in known)
    relation = connection.sql(f"select * exclude ({left_out}) from results order by id limit {SHOWN}")
    return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def _thumbnail(spec: LoadedJob, source: list[str] | None) -> bytes | None:
    """Returns the picture of a row as WebP; None if the row has none that is a file here."""
    found = picture(source or (), (SIDE,), spec.job.media.dpi).found
    return None if found is None else found.images[0]
