from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.manifests import ids, job_of, problems, rows_of, written

from pipeline.errors import ManifestError
from pipeline.manifest import open_manifest


def test_csv_cells_stay_literal_text_in_our_fields(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", "id,image,prompt\r\n007,1e3.jpg,42\r\n1.0,b.jpg,\r\n")
    first, second = rows_of(path)
    assert (first.id, first.images[0].ref, first.prompt) == ("007", "1e3.jpg", "42")
    assert (second.id, second.prompt) == ("1.0", None)


def test_csv_columns_take_a_type_where_every_cell_agrees(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "m.csv",
        "id,n,price,flag,at,zip,mixed,date\n"
        "a,1,2,true,2026-01-02T03:04:05Z,01234,1,2026-01-02\n"
        "b,-5,2.50,FALSE,2026-01-02 03:04:05+08:00,12345,x,2026-01-03\n"
        "c,,,,,,,\n",
    )
    first, second, third = rows_of(path)
    utc = datetime.UTC
    assert first.columns == {
        "n": 1,
        "price": 2.0,
        "flag": True,
        "at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=utc),
        "zip": "01234",
        "mixed": "1",
        "date": "2026-01-02",
    }
    assert isinstance(first.columns["price"], float)
    assert (second.columns["n"], second.columns["price"], second.columns["flag"]) == (-5, 2.5, False)
    assert second.columns["zip"] == "12345"
    assert second.columns["at"] == datetime.datetime(2026, 1, 1, 19, 4, 5, tzinfo=utc)
    assert set(third.columns.values()) == {None}
    assert second.raw["price"] == "2.50"


@pytest.mark.parametrize(
    "cell", ["007", "+1", "1e5", "9223372036854775808", "0.1234567890123456789", "1_000", "nan", "-0", "٣"]
)
def test_a_number_whose_spelling_would_be_lost_stays_text(tmp_path: Path, cell: str) -> None:
    (row,) = rows_of(written(tmp_path, "m.csv", f"id,n\na,{cell}\n"))
    assert row.columns == {"n": cell}


def test_csv_lists_are_json_and_quoted_newlines_belong_to_the_cell(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "m.csv",
        'id,images,prompt,parameters,messages\n"x","[""a.jpg"", ""b.jpg""]","two\nlines","{""seed"": 3}",'
        '"[{""role"": ""user"", ""text"": ""hi""}]"\ny,[1].jpg,,,\n',
    )
    first, second = rows_of(path)
    assert [media.ref for media in first.images] == ["a.jpg", "b.jpg"]
    assert (first.prompt, dict(first.parameters), first.messages[0].text) == ("two\nlines", {"seed": 3}, "hi")
    assert second.where == "m.csv:4"
    assert second.images[0].ref == "[1].jpg"


def test_bad_csv_lines_are_failures_and_the_others_go_on(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", b'id,image\na,a.jpg\nb\nc,c.jpg,more\n"d"x,y\ne,\xe9.jpg\nf,"f.jpg"\n')
    rows = rows_of(path)
    assert ids(rows) == ["a", "line:3", "line:4", "line:5", "line:6", "f"]
    assert set(problems(rows).values()) == {"Local.BadLine"}


def test_a_csv_cell_may_be_longer_than_the_csv_module_takes_by_default(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", "id,text\na," + "x" * 300_000 + "\n")
    (row,) = rows_of(path, "embed")
    assert row.text is not None
    assert len(row.text) == 300_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no header"),
        (b"id,id\n1,2\n", "twice"),
        (b"id,\xc3(\n", "not UTF-8"),
        ("id,image\n".encode("utf-16-le"), "UTF-16"),
    ],
)
def test_a_csv_without_a_usable_header_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        open_manifest(str(written(tmp_path, "m.csv", content)), job_of())


def test_semicolons_and_tabs_are_told_from_the_header(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "a.csv", "id;image\n1;a,b.jpg\n"))[0].images[0].ref == "a,b.jpg"
    assert rows_of(written(tmp_path, "b.csv", "id\timage\n1\ta.jpg\n"))[0].id == "1"


def test_a_map_is_a_table_and_one_with_a_repeated_key_a_list_of_pairs(tmp_path: Path) -> None:
    kind = pa.map_(pa.string(), pa.list_(pa.map_(pa.string(), pa.int64())))
    maps = pa.array([[("a", [[("n", 1)], None])], [("a", None), ("a", [])], None], kind)
    nested = pa.array([{"of": [("x", 1)]}, {"of": None}, None], pa.struct([("of", pa.map_(pa.string(), pa.int64()))]))
    table = pa.table({"id": ["1", "2", "3"], "image": ["a.jpg"] * 3, "tags": maps, "nested": nested})
    pq.write_table(table, tmp_path / "m.parquet")
    rows = rows_of(tmp_path / "m.parquet")
    assert [row.columns["tags"] for row in rows] == [{"a": [{"n": 1}, None]}, [["a", None], ["a", []]], None]
    assert [row.columns["nested"] for row in rows] == [{"of": {"x": 1}}, {"of": None}, None]


def test_parquet_keeps_types_and_unpacks_nested_columns(tmp_path: Path) -> None:
    at = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "id": pa.array([7], pa.int64()),
            "images": [["a.jpg", "b.jpg"]],
            "n": pa.array([3], pa.int8()),
            "x": pa.array([1.5], pa.float32()),
            "ok": [True],
            "at": pa.array([at], pa.timestamp("ns", "UTC")),
            "day": pa.array([datetime.date(2026, 1, 2)]),
            "kind": pa.array(["k"]).dictionary_encode(),
            "deep": [{"a": [1, None]}],
            "blob": pa.array([b"\xff\x00"]),
        }
    )
    pq.write_table(table, tmp_path / "m.parquet")
    (row,) = rows_of(tmp_path / "m.parquet")
    assert (row.id, [media.ref for media in row.images]) == ("7", ["a.jpg", "b.jpg"])
    assert row.columns == {
        "n": 3,
        "x": 1.5,
        "ok": True,
        "at": at,
        "day": "2026-01-02",
        "kind": "k",
        "deep": {"a": [1, None]},
        "blob": "<2 bytes>",
    }


def test_parquet_parts_stream_in_order_and_from_any_row(tmp_path: Path) -> None:
    for part in (2, 10, 1):
        table = pa.table({"id": [f"{part}-{n}" for n in range(10)]})
        pq.write_table(table, tmp_path / f"part-{part}.parquet", row_group_size=3)
    (tmp_path / "_SUCCESS").touch()
    manifest = open_manifest(str(tmp_path), job_of())
    rows = list(manifest.rows())
    assert ids(rows)[::10] == ["1-0", "2-0", "10-0"]
    assert rows[11].where == "part-2.parquet:2"
    for start in (0, 4, 9, 10, 17, 29, 30):
        assert list(manifest.rows(start)) == rows[start:]


def test_damaged_parquet_is_refused_as_a_whole(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "m.parquet")
    body = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(body[:-20])
    with pytest.raises(ManifestError, match="not a whole Parquet file"):
        rows_of(tmp_path / "m.parquet")


def test_a_mapped_column_that_does_not_exist_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", "sku,image_url\n1,a.jpg\n")
    manifest = open_manifest(str(path), job_of(columns={"id": "sku", "image": "image_url"}))
    assert manifest.schema_columns == ("sku", "image_url")
    assert next(manifest.rows()).id == "1"
    with pytest.raises(ManifestError, match=r"\"image_ulr\" \(columns\.image .*did you mean \"image_url\""):
        open_manifest(str(path), job_of(columns={"image": "image_ulr"}))
