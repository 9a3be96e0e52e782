"""Archives as manifests: the members of one stem are a row, its texts are columns."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import msgspec
import pytest
from support.archives import archived, tar, zipped
from support.manifests import ids, job_of, problems, rows_of, written
from support.pictures import drawn, encoded, sound

from pipeline.errors import ManifestError
from pipeline.job.schema import ManifestSection
from pipeline.manifest import open_manifest
from pipeline.manifest.from_python import from_table
from pipeline.manifest.replayable import replayable_row
from pipeline.manifest.row_media import stat_key
from pipeline.manifest.rows import InputRules
from pipeline.media.files import digest
from pipeline.media.load import load, preview
from pipeline.media.redact import public
from pipeline.types import MediaLimits

ANY = MediaLimits()
ONE, TWO = encoded(drawn(40, 30)), encoded(drawn(30, 40))
KINDS = ("x.tar", "x.zip")


@pytest.mark.parametrize("name", KINDS)
def test_members_of_one_stem_are_one_row(tmp_path: Path, name: str) -> None:
    members = {
        "000.jpg": ONE,
        "000.txt": b"a cat\n",
        "000.json": b'{"width": 40, "url": "https://h/1.jpg", "id": 7}',
        "000.cls": b"3",
        "d/001.JPG": TWO,
        "d/001.caption": "näh".encode(),
    }
    manifest = open_manifest(str(archived(tmp_path / name, members)), job_of())
    one, two = manifest.rows()
    assert (one.id, two.id) == (f"{name}#000.jpg", f"{name}#d/001.JPG")
    assert not one.given
    assert one.columns == {"width": 40, "url": "https://h/1.jpg", "id": 7, "txt": "a cat", "cls": 3}
    assert two.columns == {"caption": "näh"}
    assert (one.raw["image"], one.where) == (f"{name}#000.jpg", f"{name}#000")
    assert load(one.images[0], ANY, confine=manifest.root).body == ONE
    assert load(two.images[0], ANY, confine=manifest.root).body == TWO
    assert public(one.images[0]) == f"{tmp_path / name}#000.jpg"
    assert load(two.images[0], ANY).name == "001.jpg"
    assert preview(two.images[0], ANY) == (30, 40)
    assert manifest.passed_over() == {}
    assert ids(list(manifest.rows(1))) == [two.id]


@pytest.mark.parametrize("name", KINDS)
def test_rows_are_put_together_from_anywhere_in_the_archive(tmp_path: Path, name: str) -> None:
    """`tar` and `zip` pack a folder in the order of its directory, not of its names."""
    members = [(f"{n}.txt", str(n).encode()) for n in range(9)] + [(f"{n}.jpg", ONE) for n in (3, 1, 2, 0)]
    manifest = open_manifest(str(archived(tmp_path / name, members)), job_of())
    rows = list(manifest.rows())
    assert ids(rows) == [f"{name}#{n}.jpg" for n in range(4)]
    assert [row.columns["txt"] for row in rows] == ["0", "1", "2", "3"]
    assert manifest.passed_over() == {".txt": 5}
    assert load(rows[2].images[0], ANY).body == ONE


def test_pictures_with_more_dots_belong_to_a_plain_one(tmp_path: Path) -> None:
    members = {"0.jpg": ONE, "0.seg.png": TWO, "1.left.jpg": ONE, "1.right.jpg": TWO, "1.txt": b"pair"}
    both, pair = rows_of(tar(tmp_path / "x.tar", members))
    assert (both.id, [m.ref for m in both.images]) == ("x.tar#0.jpg", [f"{tmp_path}/x.tar#0.jpg"])
    assert both.columns == {"seg.png": "x.tar#0.seg.png"}
    assert (pair.id, len(pair.images), pair.columns) == ("x.tar#1", 2, {"txt": "pair"})


def test_photos_with_dots_in_their_names_are_rows_each(tmp_path: Path) -> None:
    names = ["Shot 2024.01.02.jpg", "Shot 2024.01.03.jpg", "v1.0.png", "v1.1.png"]
    assert ids(rows_of(tar(tmp_path / "x.tar", dict.fromkeys(names, ONE)))) == [f"x.tar#{name}" for name in names]


def test_columns_of_the_job_choose_among_the_members(tmp_path: Path) -> None:
    members = {"0.jpg": ONE, "0.seg.png": TWO, "0.json": b'{"key": "k0", "q": "What?"}'}
    tar(tmp_path / "x.tar", members)
    (row,) = rows_of(tmp_path / "x.tar", "ask", image="seg.png", id="key", prompt="q")
    assert (row.id, row.given, row.prompt) == ("k0", True, "What?")
    assert load(row.images[0], ANY).body == TWO
    (row,) = rows_of(tmp_path / "x.tar", image="jpg")
    assert load(row.images[0], ANY).body == ONE


def test_members_that_no_column_takes_are_counted(tmp_path: Path) -> None:
    members = {"0.jpg": ONE, "0.npy": b"x", "0.mp4": b"x", "0.txt": b"t", "README": b"x"}
    manifest = open_manifest(str(tar(tmp_path / "x.tar", members)), job_of())
    (row,) = manifest.rows()
    assert row.columns == {"mp4": "x.tar#0.mp4", "txt": "t"}
    assert manifest.passed_over() == {".npy": 1, "no ending": 1}


def test_texts_alone_are_rows_where_columns_say_so(tmp_path: Path) -> None:
    tar(tmp_path / "x.tar", {"0.txt": b"one", "1.txt": b"two"})
    assert [row.text for row in rows_of(tmp_path / "x.tar", "embed", text="txt")] == ["one", "two"]
    manifest = open_manifest(str(tmp_path / "x.tar"), job_of())
    assert (list(manifest.rows()), manifest.passed_over()) == ([], {".txt": 2})


def test_sounds_are_rows_for_embed_alone_and_videos_never(tmp_path: Path) -> None:
    members = {"a.jpg": ONE, "b.wav": sound(1), "c.mp4": b"x", "d.npy": b"x"}
    manifest = open_manifest(str(tar(tmp_path / "x.tar", members)), job_of())
    assert ids(list(manifest.rows())) == ["x.tar#a.jpg"]
    assert manifest.passed_over() == {".mp4": 1, ".npy": 1, ".wav": 1}
    rows = rows_of(tmp_path / "x.tar", "embed")
    assert ids(rows) == ["x.tar#a.jpg", "x.tar#b.wav"]
    assert load(rows[1].audio[0], ANY).seconds == 1.0


def test_shards_of_a_folder_or_glob_are_one_manifest(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        tar(tmp_path / f"s/{number}.tar", {"a.jpg": ONE})
    zipped(tmp_path / "s/sub/z.zip", {"b.jpg": TWO})
    written(tmp_path, "s/notes.md", b"x")
    expected = ["1.tar#a.jpg", "2.tar#a.jpg", "10.tar#a.jpg", "sub/z.zip#b.jpg"]
    manifest = open_manifest(str(tmp_path / "s"), job_of())
    assert ids(list(manifest.rows())) == expected
    assert manifest.passed_over() == {".md": 1}
    assert ids(rows_of(tmp_path / "s/*.tar")) == expected[:3]
    assert ids(rows_of(tmp_path / "s/[12].tar")) == expected[:2]


def test_archives_beside_tables_are_to_be_chosen(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", {"a.jpg": ONE})
    written(tmp_path, "0.jsonl", '{"image": "https://h/a.jpg"}\n')
    with pytest.raises(ManifestError, match=r"holds jsonl files and archives; choose with a glob such as \*\.tar"):
        open_manifest(str(tmp_path), job_of())
    old = open_manifest(str(tmp_path), job_of(), InputRules(derived_ids=1))
    assert (len(list(old.rows())), old.passed_over()) == (1, {".tar": 1})
    written(tmp_path, "p.jpg", ONE)
    manifest = open_manifest(str(tmp_path), job_of())
    assert ids(list(manifest.rows())) == ["p.jpg"]
    assert manifest.passed_over() == {".jsonl": 1, ".tar": 1}


def test_notes_beside_archives_are_passed_over(tmp_path: Path) -> None:
    tar(tmp_path / "0.tar", {"a.jpg": ONE})
    written(tmp_path, "0_stats.json", "{}")
    written(tmp_path, "README.txt", "words")
    manifest = open_manifest(str(tmp_path), job_of())
    assert ids(list(manifest.rows())) == ["0.tar#a.jpg"]
    assert manifest.passed_over() == {".json": 1, ".txt": 1}


def test_an_encoding_for_an_archive_is_refused(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", {"a.jpg": ONE})
    job = msgspec.structs.replace(job_of(), manifest=ManifestSection(path="m", encoding="gbk"))
    with pytest.raises(ManifestError, match="archives have no encoding"):
        open_manifest(str(path), job)


def test_hive_folders_above_archives_are_columns(tmp_path: Path) -> None:
    tar(tmp_path / "dt=1/x.tar", {"a.jpg": ONE, "a.txt": b"t"})
    (row,) = rows_of(tmp_path)
    assert row.columns == {"dt": 1, "txt": "t"}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(tmp_path: Path, form: int) -> None:
    names = ["./a.jpg", "deep/" * 18 + "b" * 60 + ".jpg"]
    if form != tarfile.USTAR_FORMAT:
        names += ["é" * 120 + ".jpg", "c" * 3000 + ".jpg"]
    rows = rows_of(tar(tmp_path / "x.tar", dict.fromkeys(names, ONE), form))
    assert ids(rows) == [f"x.tar#{name.removeprefix('./')}" for name in names]
    assert all(load(row.images[0], ANY).body == ONE for row in rows)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_with_data_before_and_behind_it_is_read(tmp_path: Path, method: int) -> None:
    path = zipped(tmp_path / "x.zip", {"a.jpg": ONE, "b/": b"", "b/c.png": TWO}, method)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"c" * 40_000
    path.write_bytes(b"#!/bin/sh\n" * 100 + path.read_bytes())
    rows = rows_of(path)
    assert ids(rows) == ["x.zip#a.jpg", "x.zip#b/c.png"]
    assert [load(row.images[0], ANY).body for row in rows] == [ONE, TWO]


def test_a_zip_of_64_bit_sizes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    rows = rows_of(zipped(tmp_path / "x.zip", {"a.jpg": ONE, "b.jpg": TWO}))
    assert [load(row.images[0], ANY).body for row in rows] == [ONE, TWO]


@pytest.mark.parametrize("name", KINDS)
def test_stamps_and_hashes_stand_while_the_members_stay(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / name, {"a.jpg": ONE, "b.jpg": TWO})
    before = [(stat_key(row), digest(row.images[0])) for row in rows_of(path)]
    assert before == [(stat_key(row), digest(row.images[0])) for row in rows_of(path)]
    assert before[0][1] == digest(rows_of(written(tmp_path, "loose/a.jpg", ONE).parent)[0].images[0])
    archived(path, {"a.jpg": ONE, "b.jpg": ONE})
    after = [(stat_key(row), digest(row.images[0])) for row in rows_of(path)]
    assert after[1] != before[1]
    assert after[0][1] == before[0][1]


@pytest.mark.parametrize("name", KINDS)
def test_a_kept_row_of_an_archive_asks_the_same(tmp_path: Path, name: str) -> None:
    path = archived(tmp_path / name, {"a.jpg": ONE, "a.json": b'{"id": 1, "prompt": "p", "x": 2}'})
    (row,) = rows_of(path)
    kept = replayable_row(row, job_of(), str(tmp_path))
    assert kept == {"image": f"{path}#a.jpg", "x": 2}
    (again,) = from_table([kept], job_of(), "/").rows()
    assert digest(again.images[0]) == digest(row.images[0])
    assert stat_key(again) == stat_key(row)


def test_bad_texts_are_failures_of_their_row(tmp_path: Path) -> None:
    members = {
        "0.jpg": ONE, "0.json": b"{", "1.jpg": ONE, "1.txt": b"\xff\xfe", "2.jpg": ONE, "2.txt": b"", "3.jpg": ONE,
        "3.txt": b"x" * 5_000_000,
    }  # fmt: skip
    rows = rows_of(tar(tmp_path / "x.tar", members))
    assert problems(rows) == {"x.tar#0.jpg": "Local.BadLine", "x.tar#1.jpg": "Local.BadLine",
                              "x.tar#3.jpg": "Local.TooLarge"}  # fmt: skip
    assert rows[2].columns == {"txt": ""}


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.tar.zst", "x.7z"])
def test_a_packed_archive_is_refused_with_the_way_out(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, f"d/{name}", b"\x1f\x8b packed")
    for spec in (path, path.parent, path.parent / "*"):
        with pytest.raises(ManifestError, match=r"unpack it to a plain \.tar"):
            open_manifest(str(spec), job_of())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("body", [b"", b"x", b"\x1f\x8b" + b"x" * 2000, b"PK\3\4" + b"\0" * 900])
def test_what_is_no_archive_is_refused_before_anything(tmp_path: Path, name: str, body: bytes) -> None:
    with pytest.raises(ManifestError, match=f"{name}: no "):
        open_manifest(str(written(tmp_path, name, body)), job_of())
