"""What a job shows in a notebook: some results with thumbnails of their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.job.load import LoadedJob
from pipeline.report.html import lines_html, table_html, thumbnail
from pipeline.report.summary import status_lines
from pipeline.run.new_job import HANDED
from pipeline.run.output import connect, status
from pipeline.store.datasets import OUTCOME_COLUMNS, column_names

SHOWN = 5
"""Results that a notebook shows."""
LARGEST = 50_000_000
"""Bytes of a picture that is made a thumbnail of; a larger one is shown without."""
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
    """Of the first picture of a row that is a file here."""
    for reference in (source or ())[:1]:
        try:
            path = Path(reference) if Path(reference).is_absolute() else Path(_root(spec), reference)
            if path.is_file() and path.stat().st_size <= LARGEST:
                return thumbnail(path.read_bytes())
        except (OSError, ValueError, PipelineError):
            return None
    return None


def _root(spec: LoadedJob) -> str:
    """The folder where relative paths of the manifest begin."""
    from pipeline.manifest import open_manifest

    if spec.job.source.path == HANDED:
        return str(Path.cwd())
    return str(open_manifest(spec.manifest, spec.job, folder=spec.folder).root)
