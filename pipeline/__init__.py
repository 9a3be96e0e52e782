"""Batch captions, OCR text and embeddings from hosted multimodal models, in Parquet for DuckDB.

from pipeline import Job

job = Job.load("jobs/captions.toml", offline=True)
summary = job.run()
job.connect().sql("select id, caption from results")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.errors import (
    JobError,
    Locked,
    MachineError,
    ManifestError,
    MissingExtra,
    PipelineError,
    QueryError,
    StoreError,
)

if TYPE_CHECKING:
    from pipeline.api import Job as Job

    __version__: str

__all__ = [
    "Job",
    "JobError",
    "Locked",
    "MachineError",
    "ManifestError",
    "MissingExtra",
    "PipelineError",
    "QueryError",
    "StoreError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Imports `Job` and `__version__` only when they are asked for, so that `pipeline --help` stays light."""
    if name == "Job":
        from pipeline.api import Job

        return Job
    if name == "__version__":
        from pipeline.version import version

        return version()
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
