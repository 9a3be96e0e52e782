"""The manifest in Parquet: the rows of photos.jsonl with true types."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path


def write_photos_parquet(source: Path, target: Path) -> None:
    """Write `source` (JSONL) with a timestamp column in UTC (µs) and `credit` as a struct."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["filed_at"] = datetime.fromisoformat(row["filed_at"])
    schema = pa.schema(
        {
            "id": pa.string(),
            "image": pa.string(),
            "category": pa.string(),
            "shelf": pa.int64(),
            "rating": pa.float64(),
            "colour": pa.bool_(),
            "filed_at": pa.timestamp("us", tz="UTC"),
            "credit": pa.struct({"author": pa.string(), "licence": pa.string()}),
        }
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), target, compression="zstd")
