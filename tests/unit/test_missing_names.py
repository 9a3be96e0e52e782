"""A name that is not there as written: the other Unicode form is taken, other spellings are proposed."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from support.manifests import job_of, rows_of, written
from support.pictures import drawn, encoded

from pipeline.errors import Fault
from pipeline.manifest.row_media import expand_frames, stat_key
from pipeline.media.files import digest, file_size
from pipeline.media.load import load, preview
from pipeline.media.redact import public
from pipeline.run.fingerprinter import Fingerprinter
from pipeline.types import Media, MediaLimits

BODY = encoded(drawn(40, 30))
ANY = MediaLimits()


def of(path: Path) -> Media:
    return Media(kind="image", ref=str(path), path=str(path))


def refused(media: Media) -> str:
    with pytest.raises(Fault, match=r"Local\.MissingFile") as found:
        load(media, ANY)
    for read in (digest, file_size, lambda media: preview(media, ANY)):
        with pytest.raises(Fault, match=r"Local\.MissingFile"):
            read(media)
    return found.value.message


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_the_other_normal_form_of_a_name_is_taken(tmp_path: Path, forms: tuple[Literal["NFD", "NFC"], ...]) -> None:
    there, asked = (unicodedata.normalize(form, "é/ñandú.jpg") for form in forms)
    written(tmp_path, there, BODY)
    media = of(tmp_path / asked)
    assert load(media, ANY, confine=str(tmp_path)).body == BODY
    assert digest(media) == digest(of(tmp_path / there))
    assert file_size(media) == len(BODY)
    assert preview(media, ANY) == (40, 30)
    assert public(media) == str(tmp_path / asked)
    written(tmp_path, "m.jsonl", f'{{"image": "{asked}"}}')
    (row,) = rows_of(tmp_path / "m.jsonl")
    assert stat_key(row) is not None
    assert Fingerprinter(job_of(), offline=False).stat_key(row) is not None


def test_parts_of_a_path_may_stand_in_different_forms(tmp_path: Path) -> None:
    written(tmp_path, unicodedata.normalize("NFC", "é") + "/" + unicodedata.normalize("NFD", "ü.jpg"), BODY)
    assert load(of(tmp_path / unicodedata.normalize("NFC", "é/ü.jpg")), ANY).body == BODY
    assert load(of(tmp_path / unicodedata.normalize("NFD", "é/ü.jpg")), ANY).body == BODY


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("A.JPG", "a.jpg"),
        ("Sub/Deep/a.jpg", "sub/deep/A.jpg"),
        ("a.jpeg", "a.jpg"),
        ("a", "a.jpg"),
        (" a.jpg", "a.jpg"),
        ("ﬁg.jpg", "fig.jpg"),
    ],
)
def test_another_spelling_is_proposed(tmp_path: Path, asked: str, there: str) -> None:
    written(tmp_path, there, BODY)
    assert refused(of(tmp_path / asked)).endswith(f"there is no such file; did you mean {tmp_path / there}?")


def test_a_windows_separator_is_proposed_as_a_slash(tmp_path: Path) -> None:
    written(tmp_path, "sub/A.jpg", BODY)
    assert refused(of(tmp_path / "sub\\A.jpg")).endswith(f"; did you mean {tmp_path / 'sub/A.jpg'}?")
    assert refused(of(tmp_path / "sub\\a.jpg")).endswith(f"; did you mean {tmp_path / 'sub/A.jpg'}?")


def test_a_list_as_python_prints_it_is_told(tmp_path: Path) -> None:
    written(tmp_path, "m.csv", "image\n\"['a.jpg', 'b.jpg']\"\n")
    (row,) = rows_of(tmp_path / "m.csv")
    assert 'a list as Python prints it; write JSON: ["a.jpg", "b.jpg"]' in refused(row.images[0])


def test_nothing_is_proposed_where_nothing_is_near(tmp_path: Path) -> None:
    written(tmp_path, "other.jpg", BODY)
    assert refused(of(tmp_path / "a.jpg")).endswith("there is no such file")
    assert refused(of(tmp_path / "gone/a.jpg")).endswith("there is no such file")


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_folders_and_globs_are_found_in_either_form(tmp_path: Path, forms: tuple[Literal["NFD", "NFC"], ...]) -> None:
    there, asked = (unicodedata.normalize(form, "é") for form in forms)
    written(tmp_path, f"{there}/{there}1.jpg", BODY)
    written(tmp_path, "m.jsonl", f'{{"id": "a", "frames": "{asked}"}}\n{{"id": "b", "frames": "{asked}/{asked}*.jpg"}}')
    for row in rows_of(tmp_path / "m.jsonl", "ask"):
        frames = expand_frames(row).frames
        assert frames is not None
        assert len(frames.images) == 1  # type: ignore[arg-type]
    for spec in (asked, f"{asked}/*.jpg", f"*/{asked}*.jpg", f"{asked}/**/{asked}?.jpg"):
        assert len(rows_of(tmp_path / spec)) == 1, spec
