from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.manifests import ids, job_of, problems, rows_of, written

from pipeline.errors import ManifestError
from pipeline.manifest import open_manifest


def touch(folder: Path, *names: str) -> None:
    for name in names:
        written(folder, name, b"x")


def test_a_folder_of_pictures_comes_in_natural_order_with_relative_paths_as_ids(tmp_path: Path) -> None:
    touch(tmp_path, "frame_10.jpg", "frame_2.JPG", "b/1.png", "frame_1/x.webp", ".hidden.jpg", ".d/a.jpg", "notes.doc")
    rows = rows_of(tmp_path)
    assert ids(rows) == ["b/1.png", "frame_1/x.webp", "frame_2.JPG", "frame_10.jpg"]
    assert not any(row.given for row in rows)
    assert rows[0].images[0].path == str(tmp_path / "b/1.png")


def test_sounds_are_rows_for_embed_alone(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.wav")
    assert ids(rows_of(tmp_path)) == ["a.jpg"]
    rows = rows_of(tmp_path, "embed")
    assert ids(rows) == ["a.jpg", "b.wav"]
    assert rows[1].audio[0].kind == "audio"


def test_globs_stop_at_slashes_and_two_stars_go_deep(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "a/2.png", "a/x/3.jpg", "b/4.jpg", "a[1].jpg")
    assert ids(rows_of(tmp_path / "a/*.jpg")) == ["1.jpg"]
    assert ids(rows_of(tmp_path / "*/*.jpg")) == ["a/1.jpg", "b/4.jpg"]
    assert ids(rows_of(tmp_path / "**/*.jpg")) == ["a/1.jpg", "a/x/3.jpg", "a[1].jpg", "b/4.jpg"]
    assert ids(rows_of(tmp_path / "**/x/**")) == ["a/x/3.jpg"]
    assert ids(rows_of(tmp_path / "[!b]/[12].*")) == ["a/1.jpg", "a/2.png"]
    assert ids(rows_of(tmp_path / "a?1?.jpg")) == ["a[1].jpg"]


def test_a_folder_whose_name_looks_like_a_glob_is_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "set [1]/a.jpg")
    assert ids(rows_of(tmp_path / "set [1]")) == ["a.jpg"]


def test_tables_lying_beside_pictures_do_not_change_what_the_folder_is(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "labels.csv", "b.parquet")
    assert ids(rows_of(tmp_path)) == ["a.jpg"]


def test_names_that_are_not_utf8_or_look_like_urls_are_met(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"x")
    touch(tmp_path, "data:a,b.jpg")
    rows = rows_of(tmp_path)
    assert problems(rows) == {"caf\\xe9.jpg": "Local.BadName"}
    assert rows[1].images[0].path == str(tmp_path / "data:a,b.jpg")


def test_identity_changes_when_a_file_comes(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    manifest = open_manifest(str(tmp_path), job_of())
    before = manifest.identity()
    touch(tmp_path, "b.jpg")
    assert manifest.identity() != before
    touch(tmp_path, "notes.doc")
    assert manifest.passed_over() == {".doc": 1}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("photo.jsonl", r"no such file or folder; did you mean .*/photos\.jsonl\?"),
        ("nowhere/at/all.jsonl", "the folder .*/nowhere is missing"),
        ("empty", "holds no pictures and no tables"),
        ("*.tiff", "no picture and no table matches"),
        ("missing/*.jpg", "does not exist"),
        ("notes.doc", "unknown kind"),
        ("a.jpg", "this is one image, not a table"),
        ("mixed", "holds parquet and csv files"),
        ("broken.jsonl", "leads nowhere"),
        ("pipe.jsonl", "neither a file nor a folder"),
    ],
)
def test_a_manifest_that_cannot_be_read_says_what_and_where(tmp_path: Path, spec: str, words: str) -> None:
    touch(tmp_path, "photos.jsonl", "notes.doc", "a.jpg", "mixed/a.csv", "mixed/b.parquet", "empty/notes.txt")
    (tmp_path / "broken.jsonl").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(ManifestError, match=words):
        open_manifest(str(tmp_path / spec), job_of())
