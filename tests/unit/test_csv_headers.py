"""Headers of CSV as spreadsheets, pandas and people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.manifests import job_of, rows_of, written

from pipeline.errors import ManifestError
from pipeline.manifest import open_manifest
from pipeline.manifest.rows import InputRules


def columns_of(path: Path) -> tuple[str, ...] | None:
    return open_manifest(str(path), job_of()).schema_columns


def test_blanks_around_names_and_behind_delimiters_are_trimmed(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", 'id, image , note\n1, a.jpg, "one, two"\n 2,b.jpg , three\n')
    assert columns_of(path) == ("id", "image", "note")
    first, second = rows_of(path)
    assert (first.images[0].ref, first.columns) == ("a.jpg", {"note": "one, two"})
    assert second.columns == {"note": "three"}


def test_blanks_of_cells_stay_where_the_header_has_none(tmp_path: Path) -> None:
    (row,) = rows_of(written(tmp_path, "m.csv", "id,image,note\n1,a.jpg, x\n"))
    assert row.columns == {"note": " x"}


def test_an_output_of_0_1_0_keeps_the_names_that_it_has_seen(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", "id, note\n1, x\n")
    manifest = open_manifest(str(path), job_of(), InputRules(derived_ids=1))
    assert [row.columns for row in manifest.rows()] == [{" note": " x"}]


def test_columns_without_a_name_are_named_by_their_position(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", ",id,image,\n0,a,a.jpg,x\n")
    assert columns_of(path) == ("column_1", "id", "image", "column_4")
    (row,) = rows_of(path)
    assert row.columns == {"column_1": 0, "column_4": "x"}


@pytest.mark.parametrize("mark", [";", ",", "\t", "|"])
def test_the_line_of_excel_that_names_the_delimiter_is_kept(tmp_path: Path, mark: str) -> None:
    path = written(tmp_path, "m.csv", f"\ufeffsep={mark}\r\nid{mark}image\r\n1{mark}a.jpg\r\n")
    assert columns_of(path) == ("id", "image")
    (row,) = rows_of(path)
    assert (row.id, row.where, row.images[0].ref) == ("1", "m.csv:3", "a.jpg")


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ('id;image;"title, long"', ("id", "image", "title, long")),
        ("id;image;size, cm", ("id", "image", "size, cm")),
        ('"a;b;c","d"', ("a;b;c", "d")),
        ("id\timage\tx,y", ("id", "image", "x,y")),
        ("id|image", ("id", "image")),
        ("image", ("image",)),
        ('"two\nlines";image;id', ("two\nlines", "image", "id")),
    ],
)
def test_the_delimiter_is_counted_outside_quotes(tmp_path: Path, header: str, names: tuple[str, ...]) -> None:
    assert columns_of(written(tmp_path, "m.csv", header + "\n")) == names


@pytest.mark.parametrize("first", ["1,a.jpg", "https://h/a.png,7", "1,photos/a b.webp,cat"])
def test_a_file_without_a_header_is_refused(tmp_path: Path, first: str) -> None:
    with pytest.raises(ManifestError, match=r"m\.csv: the first line holds '.*', which is data and no column's name"):
        open_manifest(str(written(tmp_path, "m.csv", first + "\n2,b.jpg\n")), job_of())


def test_a_name_like_a_files_is_taken_where_the_job_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, "m.csv", "a.jpg\nb.jpg\n")
    assert rows_of(path, image="a.jpg")[0].images[0].ref == "b.jpg"


def test_a_repeated_name_is_refused_also_once_it_is_trimmed(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="'image' is given twice"):
        open_manifest(str(written(tmp_path, "m.csv", "id,image, image\n")), job_of())
