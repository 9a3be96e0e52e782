"""The methods of a DuckDB relation that have other names in other versions, from 1.1 to 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


def held(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Runs the relation's query; the relation that is returned holds its rows. Raises duckdb.Error."""
    if hasattr(relation, "materialize"):  # from 2.0 on, where `execute` is gone
        return relation.materialize()
    older: Any = relation
    done: duckdb.DuckDBPyRelation = older.execute()
    return done


def reader(relation: duckdb.DuckDBPyRelation, rows: int) -> pa.RecordBatchReader:
    """The relation's rows in batches of about `rows`."""
    if hasattr(relation, "to_arrow_reader"):  # from 1.5 on
        return relation.to_arrow_reader(rows)
    return relation.fetch_arrow_reader(rows)
