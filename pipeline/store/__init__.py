"""The store of an output: which rows are done, which remain, and what they cost.

Records are written to the journal at once, sealed into Parquet parts, and read through DuckDB.
"""

from __future__ import annotations

from pipeline.store.layout import Layout
from pipeline.store.records import AnswerRecord, AttemptRecord, FailureRecord, RunRecord
from pipeline.store.store import Store

__all__ = ["AnswerRecord", "AttemptRecord", "FailureRecord", "Layout", "RunRecord", "Store"]
