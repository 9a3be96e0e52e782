from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from support.manifests import ids, job_of
from support.pictures import drawn, encoded, opened

from pipeline.errors import ManifestError
from pipeline.manifest import from_table
from pipeline.manifest.replayable import replayable_row
from pipeline.media.load import load
from pipeline.types import MediaLimits

VALUES: dict[str, list[Any]] = {"id": ["a", "b"], "image": ["x.jpg", "https://h/y.jpg"], "n": [1, 2]}


def generated() -> Iterator[dict[str, Any]]:
    for index in range(2):
        yield {name: values[index] for name, values in VALUES.items()}


SOURCES: dict[str, Callable[[], Any]] = {
    "table": lambda: pa.table(VALUES),
    "batch": lambda: pa.record_batch(VALUES),
    "batch reader": lambda: pa.table(VALUES).to_reader(),
    "polars": lambda: pl.DataFrame(VALUES),
    "duckdb": lambda: duckdb.sql(
        "select * from (values ('a', 'x.jpg', 1), ('b', 'https://h/y.jpg', 2)) t(id, image, n)"
    ),
    "dict of columns": lambda: VALUES,
    "list": lambda: list(generated()),
    "tuple": lambda: tuple(generated()),
    "generator": generated,
    "iterator": lambda: map(dict, generated()),
}


@pytest.mark.parametrize("source", SOURCES)
def test_tables_streams_and_iterables_give_the_same_rows_as_often_as_asked(source: str) -> None:
    table = SOURCES[source]()
    manifest = from_table(table, job_of(), "/base")
    rows = list(manifest.rows())
    assert [(row.id, row.columns, row.where, row.ordinal) for row in rows] == [
        ("a", {"n": 1}, "row 1", 0),
        ("b", {"n": 2}, "row 2", 1),
    ]
    assert rows[0].images[0].path == "/base/x.jpg"
    assert list(manifest.rows()) == rows
    assert list(manifest.rows(1)) == rows[1:]
    assert manifest.identity() == manifest.identity()


def test_two_readers_of_one_spooled_generator_do_not_disturb_each_other() -> None:
    manifest = from_table(({"id": str(n)} for n in range(2500)), job_of(), "/base")
    pairs = list(zip(manifest.rows(), manifest.rows(), strict=True))
    assert len(pairs) == 2500
    assert all(one == other for one, other in pairs)


def test_spooled_rows_leave_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    manifest = from_table(generated(), job_of(), "/base")
    assert len(list(manifest.rows())) == 2
    del manifest
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_paths_is_a_manifest() -> None:
    rows = list(from_table(["a.jpg", Path("/abs/b.jpg"), 3], job_of(), "/base").rows())
    assert [row.images[0].path for row in rows[:2]] == ["/base/a.jpg", "/abs/b.jpg"]
    assert rows[2].problem is not None
    assert rows[2].id == "line:3"


def test_numpy_values_and_nan_become_plain_values() -> None:
    row = next(
        from_table(
            [{"id": np.int64(7), "image": float("nan"), "x": np.float32(0.5), "v": np.ones(2)}], job_of(), "/b"
        ).rows()
    )
    assert (row.id, row.images, row.columns) == ("7", (), {"x": 0.5, "v": [1.0, 1.0]})


def test_half_a_surrogate_pair_does_not_reach_the_row() -> None:
    row = next(from_table([{"id": "a\ud800", "prompt": "é\udc80", "n": ["\ud800"]}], job_of(), "/b").rows())
    assert (row.id, row.prompt, row.columns) == ("a?", "é?", {"n": ["?"]})


def test_pictures_as_bytes_are_taken_and_never_kept() -> None:
    body = encoded(drawn(), "PNG")
    table = pa.table({"id": ["a"], "image": [{"bytes": body, "path": "x.png"}], "thumb": [body]})
    row = next(from_table(table, job_of(), "/base").rows())
    loaded = load(row.images[0], MediaLimits())
    assert opened(loaded.body).size == (120, 80)
    assert row.columns == {"thumb": f"<{len(body)} bytes>"}
    assert "PNG" not in repr(replayable_row(row, job_of(), "/base"))


@pytest.mark.parametrize("wrong", ["m.jsonl", Path("m"), b"x", 3, {"a": [1], "b": [1, 2]}])
def test_what_is_no_table_is_refused(wrong: Any) -> None:
    with pytest.raises(ManifestError):
        from_table(wrong, job_of(), "/base")


def test_a_kept_row_has_absolute_paths_no_signatures_no_data_and_gives_the_same_row_again() -> None:
    job = job_of("ask", {"image": "url"})
    fields = {
        "id": "r",
        "url": "a.jpg",
        "images": '["b/c.jpg", "https://h/d.jpg?Signature=s&v=1"]',
        "messages": [{"role": "user", "text": "a.jpg", "image": "e.jpg"}],
        "frames": "clips/1",
        "title": "a.jpg",
        "link": "https://u:p@h/x?sig=s",
        "prompt": "see data:",
    }
    row = next(from_table([fields], job, "/base").rows())
    kept = replayable_row(row, job, "/base")
    assert kept["url"] == "/base/a.jpg"
    assert kept["images"] == ["/base/b/c.jpg", "https://h/d.jpg?v=1"]
    assert kept["messages"] == [{"role": "user", "text": "a.jpg", "image": "/base/e.jpg"}]
    assert (kept["frames"], kept["title"], kept["link"]) == ("/base/clips/1", "a.jpg", "https://h/x")
    again = next(from_table([kept], job, "/elsewhere").rows())
    assert again.problem is None
    assert [media.path for media in again.images] == [media.path for media in row.images]


def test_a_kept_row_that_was_refused_for_leaving_the_manifest_is_refused_again() -> None:
    row = next(from_table([{"id": "r", "image": "../../etc/passwd"}], job_of(), "/base").rows())
    kept = replayable_row(row, job_of(), "/base")
    again = next(from_table([kept], job_of(), "/base").rows())
    assert row.problem == again.problem is not None
    assert ids([again]) == ["r"]
