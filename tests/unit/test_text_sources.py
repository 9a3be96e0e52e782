"""Lists, TSV, JSON arrays, and texts in other encodings."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from support.manifests import ids, job_of, problems, rows_of, written

from pipeline.errors import ManifestError
from pipeline.job.schema import JobFile, ManifestSection
from pipeline.manifest import open_manifest
from pipeline.types import Row, TaskName


def told(path: Path, encoding: str | None = None, form: str | None = None, task: TaskName = "caption") -> list[Row]:
    """The rows of a manifest with a [manifest] section."""
    job = job_of(task)
    section = ManifestSection(path=str(path), encoding=encoding, format=form)
    found = JobFile(task=job.task, manifest=section, output="o", provider=job.provider)
    return list(open_manifest(str(path), found).rows())


def test_tsv_is_cut_at_tabs_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "m.tsv", "id\timage\ttitle, long\n1\ta,b.jpg\tx; y\n2\tb.jpg\n")
    rows = rows_of(path)
    assert (rows[0].images[0].ref, rows[0].columns) == ("a,b.jpg", {"title, long": "x; y"})
    assert problems(rows) == {"line:3": "Local.BadLine"}


def test_tsv_without_quoting_keeps_its_quotes(tmp_path: Path) -> None:
    text = 'id\timage\tsaid\n1\ta.jpg\t"well" he said\n2\tb.jpg\t"open\n3\tc.jpg\t6" wide\n4\td.jpg\t"quoted"\n'
    rows = rows_of(written(tmp_path, "m.tsv", text))
    assert [row.columns["said"] for row in rows] == ['"well" he said', '"open', '6" wide', "quoted"]


def test_a_list_has_a_path_or_url_a_line(tmp_path: Path) -> None:
    text = "\ufeff./a.jpg\r\n\r\n  sub/b c.png  \nhttps://h/c.jpg?Signature=s&v=1\n/abs/d.jpg\nv.mp4\n../e.jpg\n"
    rows = rows_of(written(tmp_path, "list.txt", text), "ask")
    assert ids(rows) == ["a.jpg", "sub/b c.png", "https://h/c.jpg?v=1", "/abs/d.jpg", "v.mp4", "../e.jpg"]
    assert not any(row.given for row in rows)
    assert rows[0].images[0].path == str(tmp_path / "a.jpg")
    assert rows[4].videos
    assert [row.where for row in rows[:2]] == ["list.txt:1", "list.txt:3"]
    assert problems(rows) == {"../e.jpg": "Local.OutsideManifest"}


def test_a_list_may_hold_sounds_for_embed(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path, "list.txt", "a.wav\nb.jpg\n"), "embed")
    assert [(len(row.audio), len(row.images)) for row in rows] == [(1, 0), (0, 1)]


def test_a_list_that_names_a_file_twice_repeats_one_id(tmp_path: Path) -> None:
    assert ids(rows_of(written(tmp_path, "list.txt", "a.jpg\n./a.jpg\n"))) == ["a.jpg", "a.jpg"]


ROWS = [{"id": f"r{n}", "image": f"{n}.jpg", "t": 'a,"[{]}\\' * 3, "deep": [{"x": [n]}]} for n in range(500)]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_json_array_is_a_row_an_object(tmp_path: Path, indent: int | None) -> None:
    rows = rows_of(written(tmp_path, "m.json", "\ufeff \n" + json.dumps(ROWS, indent=indent) + "\n"))
    assert [(row.id, row.columns["t"], row.columns["deep"]) for row in rows] == [
        (row["id"], row["t"], row["deep"]) for row in ROWS
    ]
    assert rows[6].where == "m.json:7"


def test_items_of_a_json_array_that_are_no_rows_are_failures(tmp_path: Path) -> None:
    text = '[{"id": 1e1, "image": "a.jpg", "n": NaN}, 3, {"id": "b" "x"}, [1, {}], , {"id": "\xff"}, {"id": "c"}, ]'
    rows = rows_of(written(tmp_path, "m.json", text.encode("latin-1")))
    assert ids(rows)[0] == "1e1"
    assert list(problems(rows)) == ["line:2", "line:3", "line:4", "line:5", "line:6"]
    assert ids(rows)[-1] == "c"


@pytest.mark.parametrize("text", ['[{"id": "a"}, {"id": "b"', '[{"id": "a"}, {"id": "b', '[{"id": "a"}, {"id": "b"}'])
def test_a_json_array_that_is_cut_off_ends_in_a_failure(tmp_path: Path, text: str) -> None:
    rows = rows_of(written(tmp_path, "m.json", text))
    assert rows[0].id == "a"
    assert rows[-1].problem is not None
    assert "cut off" in rows[-1].problem.message


def test_what_stands_behind_a_json_array_is_a_failure(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path, "m.json", '[{"id": "a"}]\n[{"id": "b"}]\n'))
    assert (ids(rows), list(problems(rows))) == (["a", "line:2"], ["line:2"])


def test_a_json_array_has_no_rows_where_it_is_empty(tmp_path: Path) -> None:
    assert rows_of(written(tmp_path, "m.json", " [ ] ")) == []


def test_json_lines_under_the_ending_json_are_read(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path, "m.json", '{"id": "a", "image": "a.jpg"}\n{"id": "b"}\n{\n'))
    assert ids(rows) == ["a", "b", "line:3"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "info": {}}), r"jq -c '\.images\[\]'"),
        (json.dumps({"images": [{"id": 1}] * 9, "licenses": []}, indent=1), r"jq -c '\.images\[\]'"),
        (json.dumps({"id": {"0": "a"}, "image": {"0": "a.jpg"}}), 'orient="records"'),
        (json.dumps({"id": "a", "image": "a.jpg"}, indent=1), "one object"),
        ('"text"', "array of objects"),
    ],
)
def test_other_json_is_refused_with_the_way_out(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        open_manifest(str(written(tmp_path, "m.json", content)), job_of())


def test_any_place_of_a_json_array_can_be_read_from(tmp_path: Path) -> None:
    manifest = open_manifest(str(written(tmp_path, "m.json", json.dumps(ROWS))), job_of())
    whole = list(manifest.rows())
    for start in (0, 1, 250, 499, 500):
        assert list(manifest.rows(start)) == whole[start:]


CHINESE = [("1", "图片/猫.jpg", "一只猫在桌子上"), ("2", "图片/狗.jpg", "这是我们的狗，在公园里玩")] * 3
WESTERN = [("1", "café.jpg", "Crème brûlée, déjà vu"), ("2", "straße.jpg", "Größe: schön")]
RUSSIAN = [("1", "фото.jpg", "кошка сидит на столе"), ("2", "собака.jpg", "большая собака")]
JAPANESE = [("1", "写真.jpg", "ねこがテーブルのうえにいます"), ("2", "犬.jpg", "これはいぬです")]
KOREAN = [("1", "사진.jpg", "고양이가 책상 위에 있다"), ("2", "개.jpg", "공원에서 노는 개")]
TRADITIONAL = [("1", "圖片.jpg", "這是我們的貓，在桌子上"), ("2", "狗.jpg", "牠們會說話的時候")]
OTHER = [
    ("gb18030", CHINESE),
    ("cp1252", WESTERN),
    ("cp1251", RUSSIAN),
    ("koi8-r", RUSSIAN),
    ("cp932", JAPANESE),
    ("cp949", KOREAN),
    ("big5", TRADITIONAL),
]


def table(rows: list[tuple[str, str, str]], form: str) -> str:
    if form == "csv":
        return "id,image,note\n" + "".join(f'{id_},{image},"{note}"\n' for id_, image, note in rows)
    if form == "jsonl":
        lines = (json.dumps(dict(zip(("id", "image", "note"), row, strict=True)), ensure_ascii=False) for row in rows)
        return "\n".join(lines)
    return json.dumps([dict(zip(("id", "image", "note"), row, strict=True)) for row in rows], ensure_ascii=False)


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
@pytest.mark.parametrize(
    ("encoding", "rows"), [*OTHER, ("utf-16", CHINESE), ("utf-8", CHINESE), ("utf-16-le", WESTERN)]
)
def test_a_text_in_another_encoding_is_read(tmp_path: Path, encoding: str, rows: list, form: str) -> None:
    path = written(tmp_path, f"m.{form}", table(rows, form).encode(encoding))
    assert [(row.id, row.images[0].ref, row.columns["note"]) for row in told(path, encoding)] == rows


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(("encoding", "rows"), OTHER)
def test_the_encoding_is_guessed_by_name(tmp_path: Path, encoding: str, rows: list, form: str) -> None:
    path = written(tmp_path, f"m.{form}", table(rows, form).encode(encoding))
    with pytest.raises(ManifestError, match=rf'not UTF-8; it looks like .*encoding = "{encoding}"'):
        told(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str, form: str) -> None:
    path = written(tmp_path, f"m.{form}", table(CHINESE, form).encode(encoding))
    assert [row.columns["note"] for row in told(path)] == [note for _, _, note in CHINESE]


def test_a_packed_text_may_have_another_encoding(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv.gz", gzip.compress(table(CHINESE, "csv").encode("gb18030")))
    assert told(path, "gb18030")[0].columns["note"] == CHINESE[0][2]


def test_one_line_in_another_encoding_is_its_failure_with_a_guess(tmp_path: Path) -> None:
    lines = table([("1", "猫.jpg", "x")] * 20, "csv").encode() + "9,a.jpg,这是我们的狗\n".encode("gb18030")
    rows = told(written(tmp_path, "m.csv", lines))
    assert rows[-1].problem is not None
    assert "not UTF-8" in rows[-1].problem.message
    assert "gb18030" in rows[-1].problem.message


def test_a_line_that_is_not_of_the_encoding_is_its_failure(tmp_path: Path) -> None:
    for form, broken in (("csv", b"9,a\x81\x20.jpg,x\n"), ("jsonl", b'\n{"id": "9", "note": "\x81\x20"}')):
        path = written(tmp_path, f"m.{form}", table(CHINESE, form).encode("gb18030") + broken)
        rows = told(path, "gb18030")
        assert len(rows) == 7
        assert rows[-1].problem is not None
        assert "the line is not gb18030" in rows[-1].problem.message


@pytest.mark.parametrize("form", ["csv", "jsonl", "txt"])
def test_lines_of_old_macs_end_in_carriage_returns(tmp_path: Path, form: str) -> None:
    text = "a.jpg\nb.jpg\n" if form == "txt" else table(CHINESE, form)
    rows = rows_of(written(tmp_path, f"m.{form}", text.replace("\n", "\r")))
    assert len(rows) == (2 if form == "txt" else 6)
    assert problems(rows) == {}


def test_the_format_may_be_said_whatever_the_name(tmp_path: Path) -> None:
    path = written(tmp_path, "export", "id;image\n1;a.jpg\n")
    with pytest.raises(ManifestError, match="unknown kind of manifest"):
        rows_of(path)
    assert ids(told(path, form="csv")) == ["1"]
    assert ids(told(written(tmp_path, "names.csv", "a.jpg\n"), form="txt")) == ["a.jpg"]


def test_the_format_holds_for_all_files_of_a_glob_or_folder(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        written(tmp_path, f"parts/{number}.dat", f"id;image\n{number};a.jpg\n")
    written(tmp_path, "parts/_SUCCESS", "")
    assert ids(told(Path(f"{tmp_path}/parts/*.dat"), form="csv")) == ["1", "2", "10"]
    assert ids(told(tmp_path / "parts", form="csv")) == ["1", "2", "10"]
    with pytest.raises(ManifestError, match="no file"):
        told(Path(f"{tmp_path}/parts/*.tab"), form="csv")


def test_an_encoding_is_refused_for_what_is_no_text(tmp_path: Path) -> None:
    written(tmp_path, "a.jpg", b"\xff\xd8\xff")
    with pytest.raises(ManifestError, match="encoding"):
        told(tmp_path, "gb18030")


def test_texts_beside_the_parts_of_a_table_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, "part.csv", "id,image\n1,a.jpg\n")
    written(tmp_path, "README.txt", "words\n")
    written(tmp_path, "info.json", "{}")
    assert ids(rows_of(tmp_path)) == ["1"]


def test_a_glob_may_name_lists(tmp_path: Path) -> None:
    written(tmp_path, "1.txt", "a.jpg\n")
    written(tmp_path, "2.txt", "b.jpg\nc.jpg\n")
    assert ids(rows_of(f"{tmp_path}/*.txt")) == ["a.jpg", "b.jpg", "c.jpg"]


@pytest.mark.parametrize("form", ["jsonl", "json", "txt"])
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\n", b"\xef\xbb\xbf\r\n"])
def test_a_text_with_nothing_in_it_has_no_rows(tmp_path: Path, form: str, content: bytes) -> None:
    assert rows_of(written(tmp_path, f"m.{form}", content)) == []
