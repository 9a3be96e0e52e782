"""The store: what is done, what is left, what it cost; journaled at once, sealed into Parquet, read through DuckDB."""

from __future__ import annotations

from pipeline.store.layout import Layout
from pipeline.store.records import AnswerRecord, AttemptRecord, FailureRecord, RunRecord
from pipeline.store.store import Store

__all__ = ["AnswerRecord", "AttemptRecord", "FailureRecord", "Layout", "RunRecord", "Store"]
