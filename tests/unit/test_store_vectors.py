"""Vectors in parts: every reader finds the same floats, bit for bit."""

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
from pipeline.store.part_writer import writing

FIXTURES = Path(__file__).parents[1] / "fixtures" / "parts"


def table(rows: int, dimension: int, *, nullable: str = "both") -> pa.Table:
    """Rows with a vector between two other columns."""
    item = pa.field("item", pa.float32(), nullable=nullable in ("both", "floats"))
    floats = pa.array(np.random.default_rng(dimension).standard_normal(rows * dimension, np.float32))
    type_ = pa.list_(item, dimension)
    fields = [
        pa.field("id", pa.string()),
        pa.field("embedding", type_, nullable=nullable in ("both", "vectors")),
        pa.field("tags", pa.list_(pa.string())),
    ]
    ids, tags = [f"row {row}" for row in range(rows)], [["a", None], [], None] * rows
    vectors = pa.FixedSizeListArray.from_arrays(floats, type=type_)
    return pa.Table.from_arrays(
        [pa.array(ids), vectors, pa.array(tags[:rows], fields[2].type)], schema=pa.schema(fields)
    )


def written(path: Path, *tables: pa.Table, row_group: int) -> pa.Table:
    with writing(DISK, path, tables[0].schema) as writer:
        for part in tables:
            for start in range(0, part.num_rows, row_group):
                writer.write(part.slice(start, row_group))
    return pa.concat_tables(tables)


def assert_all_readers_agree(path: Path, wanted: pa.Table) -> None:
    vectors = wanted.column("embedding").to_pylist()
    read = pq.read_table(path)
    read.validate(full=True)
    assert read.equals(wanted)
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


def test_every_bit_of_a_float_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    bits = np.array([0x7FC12345, 0xFF812345, 0x80000000, 0x00000001, 0x7F800000, 0x3FC00000], np.uint32)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(bits.view(np.float32)), 3)
    written(path, pa.table({"embedding": vectors}), row_group=1)
    found = pq.read_table(path).column("embedding").combine_chunks().flatten().to_numpy()
    assert found.view(np.uint32).tolist() == bits.tolist()


def test_parts_with_raw_pages_of_older_versions_are_read() -> None:
    full = FIXTURES / "raw-pages-full.parquet"
    floats = pq.read_table(full).column("embedding").combine_chunks().flatten().to_numpy()
    assert floats.view(np.uint32)[:3].tolist() == [0x3FC00000, 0xC0000000, 0x7FC12345]
    gaps = duckdb.sql(f"select id, embedding from '{FIXTURES / 'raw-pages-gaps.parquet'}' order by id").fetchall()
    assert [(id_, vector and len(vector)) for id_, vector in gaps] == [("a", 3), ("b", None), ("c", 3)]


def test_vectors_in_pieces_and_from_the_middle_of_an_array_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pieces = pa.concat_tables([table(9, 4).slice(2, 5), table(11, 4).slice(3)])
    assert_all_readers_agree(path, written(path, pieces.slice(1), row_group=6))


def test_vectors_are_plain_floats_without_statistics(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    written(path, table(300, 1536), row_group=200)
    meta = pq.read_metadata(path)
    for group in (meta.row_group(number) for number in range(meta.num_row_groups)):
        chunk = group.column(1)
        assert (chunk.path_in_schema, chunk.num_values) == ("embedding.list.element", group.num_rows * 1536)
        assert (chunk.compression, chunk.statistics) == ("UNCOMPRESSED", None)
        assert not chunk.has_dictionary_page


def test_a_row_group_has_few_vectors_and_many_other_rows(tmp_path: Path) -> None:
    wide, narrow = tmp_path / "wide.parquet", tmp_path / "narrow.parquet"
    written(wide, table(1_200, 4), row_group=1_200)
    written(narrow, table(1_200, 4).drop_columns(["embedding"]), row_group=1_200)
    groups = [
        [pq.read_metadata(path).row_group(n).num_rows for n in range(count)] for path, count in ((wide, 5), (narrow, 1))
    ]
    assert groups == [[250, 250, 250, 250, 200], [1_200]]


def test_a_vector_search_reads_single_rows_out_of_the_pages(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    wanted = written(path, table(450, 1536), row_group=200)
    found = duckdb.sql(f"select embedding from '{path}' where id in ('row 199', 'row 200', 'row 449')").fetchall()
    assert [row[0] for row in found] == [wanted.column("embedding")[row].as_py() for row in (199, 200, 449)]


def test_a_part_given_up_half_way_writes_nothing_into_the_file_that_has_its_descriptor_next(tmp_path: Path) -> None:
    kept: list[Any] = []
    wide = pa.table({"x" * 2**20: ["a name so long that a footer with it is written at once"]})
    with contextlib.suppress(ZeroDivisionError), writing(DISK, tmp_path / "part.parquet", wide.schema) as part:
        part.write(wide)
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
