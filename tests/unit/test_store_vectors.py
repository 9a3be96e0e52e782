"""Vectors go into parts as their own bytes, and every reader finds the same floats there."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store.disk import DISK
from pipeline.store.parts import writing
from pipeline.store.thrift import decode, encode

READS_NULL_VECTORS = int(pa.__version__.partition(".")[0]) >= 26
"""Before, pyarrow reads no NULL among vectors of one length, whoever wrote them."""


def table(rows: int, dimension: int, *, nullable: str = "both", gaps: bool = False) -> pa.Table:
    """Rows with a vector between two other columns; `gaps`: every 7th has none."""
    item = pa.field("item", pa.float32(), nullable=nullable in ("both", "floats"))
    floats = pa.array(np.random.default_rng(dimension).standard_normal(rows * dimension, np.float32))
    mask = pa.array([row % 7 == 3 for row in range(rows)]) if gaps else None
    type_ = pa.list_(item, dimension)
    fields = [
        pa.field("id", pa.string()),
        pa.field("embedding", type_, nullable=nullable in ("both", "vectors")),
        pa.field("tags", pa.list_(pa.string())),
    ]
    ids, tags = [f"row {row}" for row in range(rows)], [["a", None], [], None] * rows
    vectors = pa.FixedSizeListArray.from_arrays(floats, type=type_, mask=mask)
    return pa.Table.from_arrays(
        [pa.array(ids), vectors, pa.array(tags[:rows], fields[2].type)], schema=pa.schema(fields)
    )


def written(path: Path, *tables: pa.Table, row_group: int) -> pa.Table:
    with writing(DISK, path, tables[0].schema) as writer:
        for part in tables:
            writer.write(part, row_group)
    return pa.concat_tables(tables)


def assert_all_readers_agree(path: Path, wanted: pa.Table) -> None:
    vectors = wanted.column("embedding").to_pylist()
    if None not in vectors or READS_NULL_VECTORS:
        read = pq.read_table(path)
        read.validate(full=True)
        assert read.equals(wanted)
        dataset = pq.ParquetFile(path, page_checksum_verification=True)
        assert [dataset.read_row_group(n).num_rows for n in range(dataset.num_row_groups)]
    assert duckdb.sql(f"select embedding from '{path}'").to_arrow_table().column(0).to_pylist() == vectors
    assert pl.read_parquet(path)["embedding"].to_list() == vectors


@pytest.mark.parametrize(
    ("rows", "dimension", "row_group", "nullable"),
    [
        *((50, 1, 7, nullable) for nullable in ("both", "vectors", "floats", "neither")),
        (1, 1, 1, "both"),
        (45, 3, 20, "both"),
        (300, 1536, 200, "both"),
        (3, 300_000, 2, "both"),
    ],
)
def test_pyarrow_duckdb_and_polars_read_what_was_written(
    tmp_path: Path, rows: int, dimension: int, row_group: int, nullable: str
) -> None:
    path = tmp_path / "part.parquet"
    wanted = written(path, table(rows, dimension, nullable=nullable), row_group=row_group)
    assert_all_readers_agree(path, wanted)


def test_a_row_group_with_a_missing_vector_stands_beside_one_without(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    full, gaps = table(20, 8), table(20, 8, gaps=True)
    assert_all_readers_agree(path, written(path, full, gaps, full.slice(3, 9), full.slice(0, 0), row_group=20))


def test_vectors_in_pieces_and_from_the_middle_of_an_array_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pieces = pa.concat_tables([table(9, 4).slice(2, 5), table(11, 4).slice(3)])
    assert_all_readers_agree(path, written(path, pieces.slice(1), row_group=6))


def test_the_footer_tells_the_vectors_place_and_size(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    written(path, table(300, 1536), row_group=200)
    meta = pq.read_metadata(path)
    ends: list[int] = []
    for group in (meta.row_group(number) for number in range(meta.num_row_groups)):
        chunk = group.column(1)
        assert chunk.path_in_schema == "embedding.list.element"
        assert chunk.num_values == group.num_rows * 1536
        assert (chunk.compression, chunk.statistics) == ("UNCOMPRESSED", None)
        sizes = [group.column(n).total_uncompressed_size for n in range(group.num_columns)]
        assert group.total_byte_size == sum(sizes)
        ends.append(chunk.data_page_offset + chunk.total_compressed_size)
    assert ends[0] <= meta.row_group(1).column(0).data_page_offset
    assert ends[1] + meta.serialized_size + 8 == path.stat().st_size


def test_a_vector_search_reads_single_rows_out_of_the_pages(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    wanted = written(path, table(450, 1536), row_group=200)
    found = duckdb.sql(f"select embedding from '{path}' where id in ('row 199', 'row 200', 'row 449')").fetchall()
    assert [row[0] for row in found] == [wanted.column("embedding")[row].as_py() for row in (199, 200, 449)]


def test_a_part_given_up_half_way_writes_nothing_into_the_file_that_has_its_descriptor_next(tmp_path: Path) -> None:
    kept: list[Any] = []
    wide = pa.table({"x" * 2**20: ["a name so long that a footer with it is written at once"]})
    with contextlib.suppress(ZeroDivisionError), writing(DISK, tmp_path / "part.parquet", wide.schema) as part:
        part.write(wide, 1)
        kept.append(part)
        del part
        raise ZeroDivisionError
    with (tmp_path / "other").open("wb") as other:
        other.write(b"its own")
        other.flush()
        kept.clear()
        gc.collect()
    assert (tmp_path / "other").read_bytes() == b"its own"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


@pytest.mark.parametrize(
    "fields",
    [
        {1: (5, -1), 40: (6, 2**62), 41: (1, None), 42: (2, None)},
        {3: (9, (8, [b"", b"x" * 300])), 4: (9, (12, [{1: (4, -300)}] * 20)), 5: (7, b"12345678")},
        {2: (10, (3, [b"a", b"b"])), 7: (12, {}), 9: (9, (1, [b"\x01", b"\x02"]))},
    ],
)
def test_a_footer_is_coded_as_it_was_decoded(fields: dict[int, Any]) -> None:
    coded = encode(fields)
    assert decode(coded) == (fields, len(coded))
    assert decode(b"??" + coded, 2) == (fields, len(coded) + 2)
