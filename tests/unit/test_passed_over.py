"""What a folder or glob passes over is counted by kind; so are thumbnail folders."""

from __future__ import annotations

import os
from pathlib import Path

from support.manifests import ids, job_of, written

from pipeline.manifest import open_manifest
from pipeline.manifest.open import Manifest


def touch(folder: Path, *names: str) -> None:
    for name in names:
        written(folder, name, b"x")


def opened(path: Path | str, task: str = "caption") -> Manifest:
    return open_manifest(str(path), job_of(task))


def read(manifest: Manifest) -> list[str]:
    return ids(list(manifest.rows()))


def test_a_folder_counts_what_it_passes_over_by_kind(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.svg", "c.mp4", "d/e.psd", "d/f.SVG", "t.csv", "README", ".h", ".git/x.jpg", "s.wav")
    manifest = opened(tmp_path)
    assert read(manifest) == ["a.jpg"]
    expected = {".svg": 2, "hidden": 2, ".mp4": 1, ".psd": 1, ".csv": 1, ".wav": 1, "no ending": 1}
    assert manifest.passed_over() == expected
    assert opened(tmp_path).passed_over() == expected
    assert ".wav" not in opened(tmp_path, "embed").passed_over()


def test_thumbnail_folders_of_file_servers_are_passed_over(tmp_path: Path) -> None:
    names = ["@eaDir", "__MACOSX", "#recycle", "@Recycle", "$RECYCLE.BIN", "#snapshot", "lost+found"]
    touch(tmp_path, "a.jpg", *(f"{name}/a.jpg" for name in names), "sub/@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg")
    manifest = opened(tmp_path)
    assert read(manifest) == ["a.jpg"]
    assert manifest.passed_over() == {"@eaDir": 2} | dict.fromkeys(sorted(names[1:]), 1)
    assert read(opened(tmp_path / "**/*.jpg")) == ["a.jpg"]
    assert read(opened(tmp_path / "@eaDir/*.jpg")) == ["a.jpg"]
    assert read(opened(tmp_path / "*b/@eaDir/*/*.jpg")) == ["sub/@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg"]


def test_a_glob_counts_what_it_matches_and_cannot_take(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.svg", "c.txt", "._a.jpg", "d/e.jpg", "d/e.psd")
    manifest = opened(tmp_path / "*.[js]*")
    assert read(manifest) == ["a.jpg"]
    assert manifest.passed_over() == {".svg": 1, "hidden": 1}
    assert opened(tmp_path / "**/*").passed_over() == {".psd": 1, ".svg": 1, ".txt": 1, "hidden": 1}


def test_a_folder_of_tables_counts_too(tmp_path: Path) -> None:
    touch(tmp_path, "_SUCCESS", "_meta/x.json", "p/notes.md", ".crc")
    written(tmp_path, "p/1.jsonl", '{"image": "a.jpg"}\n')
    manifest = opened(tmp_path)
    assert len(read(manifest)) == 1
    assert manifest.passed_over() == {".json": 1, ".md": 1, "hidden": 1, "no ending": 1}


def test_a_file_as_manifest_passes_nothing_over(tmp_path: Path) -> None:
    assert opened(written(tmp_path, "m.jsonl", '{"image": "a.jpg"}\n')).passed_over() == {}


def test_strange_endings_are_counted_together(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", *(f"n.e{number}" for number in range(200)), "x.\x1b[31m", "y.a b")
    counts = opened(tmp_path).passed_over()
    assert len(counts) <= 21
    assert sum(counts.values()) == 202
    assert "other" in counts
    assert all(kind.isprintable() for kind in counts)


def test_names_that_are_not_utf8_are_counted_as_other(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / os.fsdecode(b"b.caf\xe9")).write_bytes(b"x")
    assert opened(tmp_path).passed_over() == {"other": 1}
