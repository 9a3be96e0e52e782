"""What stands in the Parquet files, as other tools see it."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.store_records import WHEN, answer, attempt, failure, keep, rows, states, vector

from pipeline.errors import StoreError
from pipeline.store import AnswerRecord
from pipeline.store.datasets import OUTCOME_COLUMNS, column_names
from pipeline.store.maintenance import compact
from pipeline.store.parts import Part, all_parts, live_parts, part_name, read_schema

RESULT_COLUMNS = [
    *("id", "seq", "task", "provider", "model", "fingerprint", "run_id", "attempt_count", "latency_ms"),
    *("input_tokens", "output_tokens", "media_tokens", "cost", "currency", "tier", "shared_with"),
    *("request_id", "finish_reason", "finished_at", "source", "extra", "stale"),
]


def the_part(output: Path, dataset: str = "results") -> Path:
    (part,) = all_parts(output / dataset)
    return part.path


def test_a_results_part_has_the_columns_of_the_contract_in_order_with_true_types(tmp_path: Path) -> None:
    keep(tmp_path, answer("a", cost=0.5, source=("/p/a.jpg",), extra={"flag": 1}, columns={"category": "x"}))
    schema = pq.read_schema(the_part(tmp_path))
    assert schema.names == [*RESULT_COLUMNS, "caption", "category"]
    assert tuple(RESULT_COLUMNS) == column_names(OUTCOME_COLUMNS)
    assert schema.field("finished_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("seq").type == pa.int64()
    assert schema.field("attempt_count").type == pa.int32()
    assert schema.field("source").type == pa.list_(pa.string())
    (row,) = pq.read_table(the_part(tmp_path)).to_pylist()
    assert row["finished_at"] == dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=WHEN)
    assert (row["cost"], row["source"], row["extra"], row["stale"]) == (0.5, ["/p/a.jpg"], '{"flag":1}', False)
    assert row["input_tokens"] is None


def test_failures_and_attempts_have_the_columns_of_the_contract_in_order(tmp_path: Path) -> None:
    keep(tmp_path, attempt("a"), failure("a", columns={"category": "x"}, http_status=400))
    dead = ["fault", "code", "http_status", "message", "row"]
    assert pq.read_schema(the_part(tmp_path, "failures")).names == [*RESULT_COLUMNS, *dead, "category"]
    tried = ["id", "fingerprint", "run_id", "attempt", "started_at", "latency_ms", "http_status", "fault", "code"]
    tried += ["request_id", "input_tokens", "output_tokens", "cost", "currency"]
    assert pq.read_schema(the_part(tmp_path, "attempts")).names == tried
    assert rows(tmp_path, "select \"row\"->>'image' from failures") == [("/pictures/a",)]


def test_vectors_are_fixed_size_lists_of_float32_for_pyarrow_polars_and_duckdb(tmp_path: Path) -> None:
    keep(tmp_path, vector("a", [1, 2, 3]), vector("b", [0.1, -0.5, 7]), task="embed")
    part = the_part(tmp_path)
    assert pq.read_schema(part).field("embedding").type == pa.list_(pa.float32(), 3)
    assert pl.read_parquet(part).schema["embedding"] == pl.Array(pl.Float32, 3)
    found = rows(tmp_path, "select embedding, typeof(embedding) from results order by id", "embed")
    assert found[0] == ((1.0, 2.0, 3.0), "FLOAT[3]")
    assert np.float32(found[1][0][0]) == np.float32(0.1)
    column = pq.ParquetFile(part).metadata.row_group(0)
    compressions = {column.column(i).path_in_schema: column.column(i).compression for i in range(column.num_columns)}
    assert compressions["embedding.list.element"] == "UNCOMPRESSED"
    assert compressions["id"] == "ZSTD"


def test_the_views_know_the_dimension_before_the_first_vector(tmp_path: Path) -> None:
    keep(tmp_path, task="embed", dimension=1536)
    described = "select column_type from (describe results) where column_name = 'embedding'"
    assert rows(tmp_path, described, "embed") == [("FLOAT[1536]",)]


def test_vectors_of_an_earlier_dimension_are_null_in_the_views_and_kept_in_the_parts(tmp_path: Path) -> None:
    keep(tmp_path, vector("a", [1, 2]), task="embed", dimension=2)
    keep(tmp_path, vector("b", [1, 2, 3]), task="embed", dimension=3)
    assert rows(tmp_path, "select id, embedding from results order by id", "embed") == [
        ("a", None),
        ("b", (1.0, 2.0, 3.0)),
    ]
    assert pq.read_table(all_parts(tmp_path / "results")[0].path).column("embedding").to_pylist() == [[1.0, 2.0]]


def test_blocks_of_read_text_are_lists_of_text_score_and_four_points(tmp_path: Path) -> None:
    polygon = ((0.0, 1.0), (5.0, 1.0), (5.0, 4.0), (0.0, 4.0))
    own = {"ocr_text": "hi", "blocks": [{"text": "hi", "score": 0.9, "polygon": polygon}, {"text": "no"}]}
    base = answer("a")
    record = AnswerRecord(**{name: getattr(base, name) for name in base.__struct_fields__ if name != "own"}, own=own)
    keep(tmp_path, record, task="ocr")
    assert rows(tmp_path, "select blocks[1].text, blocks[1].polygon[3][1], blocks[2].polygon from results", "ocr") == [
        ("hi", 5.0, None)
    ]
    assert pl.read_parquet(the_part(tmp_path))["blocks"].explode().struct.field("text").to_list() == ["hi", "no"]


def test_catalog_sql_gives_another_duckdb_the_same_views(tmp_path: Path) -> None:
    output = tmp_path / "it's [odd]"
    keep(output, answer("a"), failure("b"))
    other = duckdb.connect()
    other.execute((output / "catalog.sql").read_text())
    assert other.sql("select id, caption from results").fetchall() == [("a", "a as A")]
    assert other.sql("select id from failures").fetchall() == [("b",)]
    assert str(output) in (output / "catalog.sql").read_text().replace("''", "'").replace("[[]", "[")


def test_two_jobs_over_the_same_pictures_join_in_one_query(tmp_path: Path) -> None:
    keep(tmp_path / "captions", answer("a"), answer("b"))
    keep(tmp_path / "vectors", vector("a", [1, 2]), task="embed")
    connection = duckdb.connect()
    for name in ("captions", "vectors"):
        connection.execute(f"attach ':memory:' as {name}; use {name}")
        connection.execute((tmp_path / name / "catalog.sql").read_text())
    joined = "select id, caption, embedding from captions.results join vectors.results using (id)"
    assert connection.sql(joined).fetchall() == [("a", "a as A", (1.0, 2.0))]


def test_a_merged_part_replaces_exactly_the_older_parts_within_its_numbers() -> None:
    def part(first: int, last: int, generation: int = 0) -> Part:
        return Part(first, last, generation, Path(part_name(first, last, generation)))

    one, two, three = part(1, 10), part(11, 20), part(21, 30)
    merged, again = part(1, 20, 1), part(1, 20, 2)
    assert live_parts([one, two, three, merged]) == [three, merged]
    assert live_parts([one, two, three, merged, again]) == [three, again]
    assert live_parts([part(5, 25), merged]) == [part(5, 25), merged]


def test_a_part_of_an_unknown_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / part_name(1, 1)
    pq.write_table(pa.table({"id": ["a"]}), path)
    with pytest.raises(StoreError, match="in format none; this version reads 1"):
        read_schema(path)


@pytest.mark.parametrize("damage", ["cut", "emptied", "overwritten"])
@pytest.mark.parametrize("reader", ["views", "plan", "compaction"])
def test_a_damaged_part_is_named_with_what_to_do(tmp_path: Path, damage: str, reader: str) -> None:
    for name in ("a", "b"):
        keep(tmp_path, *(answer(f"{name}{number}", text=f"{number}" * 500) for number in range(9)))
    part = all_parts(tmp_path / "results")[1].path
    data = part.read_bytes()
    ruined = {"cut": data[:-9], "emptied": b"", "overwritten": data[:4] + bytes(len(data) - 600) + data[-596:]}
    part.write_bytes(ruined[damage])
    work = {
        "views": lambda: rows(tmp_path, "select * from results"),
        "plan": lambda: states(tmp_path, ("a", "A")),
        "compaction": lambda: compact(tmp_path, "caption", run_id="c"),
    }[reader]
    with pytest.raises(StoreError, match=r"is damaged .*Put it back from a copy, or move it out") as told:
        work()
    assert str(part) in str(told.value)


def test_a_new_run_goes_on_counting_where_the_last_one_ended(tmp_path: Path) -> None:
    keep(tmp_path, answer("a"), answer("b"))
    keep(tmp_path, answer("c"))
    seqs = [seq for (seq,) in rows(tmp_path, "select seq from versions order by seq")]
    assert seqs == sorted(set(seqs))
    assert rows(tmp_path, "select arg_max(id, seq) from versions") == [("c",)]


def test_views_see_sealed_rows_while_a_run_goes_on_from_another_process(tmp_path: Path) -> None:
    from pipeline.store import Store

    code = (
        "import sys; from pathlib import Path; from pipeline.store.read import connect\n"
        "print(connect(Path(sys.argv[1]), 'caption').sql('select count(*) from results').fetchall()[0][0])"
    )
    with Store.open(tmp_path, "caption", run_id="run-1") as store:
        store.answer(answer("a"))
        store.seal()
        store.answer(answer("b"))
        seen = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "1"


def test_a_connection_opened_early_sees_rows_and_columns_that_come_later(tmp_path: Path) -> None:
    from pipeline.store.read import connect

    keep(tmp_path, answer("a"))
    connection = connect(tmp_path, "caption")
    keep(tmp_path, answer("b", columns={"category": "x"}))
    assert connection.sql("select id, category from results order by id").fetchall() == [("a", None), ("b", "x")]
