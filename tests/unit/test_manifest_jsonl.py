from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest
from support.manifests import ids, job_of, problems, rows_of, written

from pipeline.errors import ManifestError
from pipeline.manifest import lines, open_manifest


def test_a_line_is_a_row_and_other_fields_travel_along(tmp_path: Path) -> None:
    path = written(tmp_path, "m.jsonl", '{"id": "a", "image": "x/y.jpg", "n": 1, "deep": {"k": [true]}}\n')
    (row,) = rows_of(path)
    assert (row.id, row.given, row.ordinal, row.where) == ("a", True, 0, "m.jsonl:1")
    assert row.images[0].path == str(tmp_path / "x/y.jpg")
    assert row.columns == {"n": 1, "deep": {"k": [True]}}
    assert row.raw == {"id": "a", "image": "x/y.jpg", "n": 1, "deep": {"k": [True]}}


@pytest.mark.parametrize("spelling", ["1e3", "1.0", "-0", "12345678901234567890123", "0.10", "7"])
def test_an_id_keeps_its_spelling_in_the_file(tmp_path: Path, spelling: str) -> None:
    path = written(tmp_path, "m.jsonl", f'{{"id": {spelling}, "image": "a.jpg"}}\n')
    assert ids(rows_of(path)) == [spelling]


def test_bom_crlf_blank_lines_and_a_missing_last_newline_change_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "m.jsonl", b'\xef\xbb\xbf{"id":"a"}\r\n\r\n   \r\n{"id":"b"}')
    rows = rows_of(path)
    assert ids(rows) == ["a", "b"]
    assert [row.where for row in rows] == ["m.jsonl:1", "m.jsonl:4"]
    assert not problems(rows)


DEEP = b'{"n": ' + b"[" * 700 + b"]" * 700 + b"}"


@pytest.mark.parametrize(
    "line",
    [
        b'{"id": "x"',
        b"{'id': 1}",
        b'["a"]',
        b"3",
        b'{"id": "\xff"}',
        b'{"a":' + b"[" * 5000,
        b"\x00",
        DEEP,
    ],
)
def test_a_line_that_cannot_be_read_is_a_failure_and_the_others_go_on(tmp_path: Path, line: bytes) -> None:
    path = written(tmp_path, "m.jsonl", b'{"id":"a"}\n{"id":"b"}\n' + line + b'\n{"id":"c"}\n')
    if b"\x00" in line:
        path.write_bytes(b'{"id":"a", "pad": "' + b"-" * 5000 + b'"}\n{"id":"b"}\n\x00\n{"id":"c"}\n')
    rows = rows_of(path)
    assert ids(rows) == ["a", "b", "line:3", "c"]
    assert problems(rows) == {"line:3": "Local.BadLine"}
    assert [row.ordinal for row in rows] == [0, 1, 2, 3]


def test_a_line_beyond_the_bound_is_passed_over_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    path = written(tmp_path, "m.jsonl", '{"id":"a"}\n{"id":"' + "b" * 950 + '"}\n{"id":"c"}\n')
    rows = rows_of(path)
    assert ids(rows) == ["a", "line:2", "c"]
    assert problems(rows) == {"line:2": "Local.LineTooLong"}


def test_rows_can_be_read_again_and_from_any_place(tmp_path: Path) -> None:
    path = written(tmp_path, "m.jsonl", "\n".join(f'{{"id":"{n}"}}' for n in range(10)))
    manifest = open_manifest(str(path), job_of())
    whole = list(manifest.rows())
    assert list(manifest.rows()) == whole
    assert list(manifest.rows(7)) == whole[7:]
    assert list(manifest.rows(99)) == []


def test_parts_behind_a_glob_are_one_table_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        written(tmp_path, f"part_{number}.jsonl", f'{{"id":"{number}"}}\n{{bad\n')
    rows = rows_of(tmp_path / "part_*.jsonl")
    assert ids(rows)[::2] == ["1", "2", "10"]
    assert ids(rows)[1] == "line:part_1.jsonl:2"
    assert [row.ordinal for row in rows] == list(range(6))
    manifest = open_manifest(str(tmp_path / "part_*.jsonl"), job_of())
    assert list(manifest.rows(3)) == rows[3:]


def test_a_packed_file_reads_like_the_plain_one(tmp_path: Path) -> None:
    path = written(tmp_path, "m.jsonl.gz", gzip.compress(b'{"id":"a"}\n'))
    assert ids(rows_of(path)) == ["a"]
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(ManifestError, match="damaged"):
        rows_of(path)


def test_a_derived_id_is_over_our_fields_alone_under_our_own_names(tmp_path: Path) -> None:
    one = written(tmp_path, "a.jsonl", '{"image": "x.jpg", "fps": null, "shelf": 1}\n')
    two = written(tmp_path, "b.jsonl", '{"shelf": 2, "url": "x.jpg"}\n{"url": "y.jpg"}\n')
    first = rows_of(one)[0]
    second, third = rows_of(two, image="url")
    assert not first.given
    assert first.id == second.id != third.id


def test_rows_of_columns_alone_are_not_taken_for_one_another(tmp_path: Path) -> None:
    path = written(tmp_path, "m.jsonl", '{"question": "why?"}\n{"question": "how?"}\n')
    assert len(set(ids(rows_of(path, "ask")))) == 2


def test_identity_changes_with_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "m.jsonl", '{"id":"a"}\n')
    manifest = open_manifest(str(path), job_of())
    before = manifest.identity()
    assert manifest.identity() == before
    path.write_text('{"id":"a"}\n{"id":"b"}\n')
    assert manifest.identity() != before


def test_reading_holds_no_more_than_a_few_rows(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    with path.open("w") as file:
        file.writelines(f'{{"id":"{n}","image":"https://h/{n}.jpg","c":"x"}}\n' for n in range(30_000))
    manifest = open_manifest(str(path), job_of())
    tracemalloc.start()
    for _ in manifest.rows():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_500_000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'[\n {"id": 1}\n]', "JSON array"),
        ('{"id":1}'.encode("utf-16-le"), "UTF-16"),
        (b"PAR1\x00\x00", "binary"),
    ],
)
def test_what_cannot_be_jsonl_is_refused_as_a_whole(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        open_manifest(str(written(tmp_path, "m.jsonl", content)), job_of())


@pytest.mark.parametrize(
    ("line", "found"), [("[1]", "a list"), ('"a"', "a text"), ("5 x", "a number"), ("null", "null"), ("true", "true")]
)
def test_a_line_that_is_no_object_is_told_in_plain_words(tmp_path, line, found):
    rows = rows_of(written(tmp_path, "m.jsonl", '{"id": "a", "image": "a.jpg"}\n' + line + "\n"))
    assert rows[1].problem is not None
    assert rows[1].problem.message == f"the line holds {found}, expected a JSON object {{…}}"
