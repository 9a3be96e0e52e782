"""Whatever lies in a folder or an archive is a row, part of a row, or counted as passed over: nothing vanishes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from support.archives import archived
from support.manifests import ids, job_of, written

from pipeline.errors import ManifestError
from pipeline.manifest import open_manifest
from pipeline.manifest.kinds import kind_of
from pipeline.manifest.open import Manifest
from pipeline.manifest.walk import SERVICE_FOLDERS

CASES = int(os.environ.get("ARCHIVE_CASES", "60"))
SEGMENTS = st.sampled_from(["a", "b", "é", "e\u0301", "x 1", "k=v", ".h", "@eaDir", "__MACOSX", "0", "d.e", "_s"])
NAMES = st.builds(
    "{}{}".format,
    st.sampled_from(["a", "b", "0", "a.b", "é", "._a", "Shot 1.2", "_s"]),
    st.sampled_from([".jpg", ".JPG", ".png", ".seg.png", ".txt", ".json", ".npy", ".svg", ".mp4", ".wav", "", ".x y"]),
)
PATHS = st.lists(
    st.builds(lambda folders, name: "/".join([*folders, name]), st.lists(SEGMENTS, max_size=3), NAMES),
    min_size=1,
    max_size=12,
    unique=True,
)


def is_passed(name: str) -> bool:
    return name.startswith(".") or name in SERVICE_FOLDERS


def counted(manifest: Manifest) -> tuple[int, int]:
    """(rows, entries passed over); both are the same in every reading, and rows from the middle are the same rows."""
    rows = list(manifest.rows())
    passed = manifest.passed_over()
    assert ids(list(manifest.rows(len(rows) // 2))) == ids(rows)[len(rows) // 2 :]
    assert manifest.passed_over() == passed
    assert [row.ordinal for row in rows] == list(range(len(rows)))
    return len(rows), sum(passed.values())


@settings(max_examples=CASES, deadline=None)
@given(PATHS)
def test_each_file_of_a_folder_is_a_row_or_counted(paths: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, expected = Path(name), set[str]()
        for path in paths:
            if any(place.is_file() for place in (folder / path).parents) or (folder / path).exists():
                continue
            written(folder, path, b"x")
            parts = path.split("/")
            first = next((place for place, part in enumerate(parts) if is_passed(part)), len(parts))
            expected.add("/".join(parts[: first + 1]))
        pictures = {path for path in expected if kind_of(path) == "image" and not is_passed(path.rpartition("/")[2])}
        if not pictures:
            return
        assert counted(open_manifest(name, job_of())) == (len(pictures), len(expected) - len(pictures))


@settings(max_examples=CASES, deadline=None)
@given(PATHS, st.sampled_from(["tar", "zip"]))
def test_each_member_of_an_archive_is_in_a_row_or_counted(paths: list[str], ending: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"x.{ending}"
        archived(path, [(member, b'{"n": 1}' if member.endswith(".json") else b"x") for member in paths])
        manifest = open_manifest(str(path), job_of())
        rows = list(manifest.rows())
        _, passed = counted(manifest)
        inside = sum(len(row.images) + len([column for column in row.columns if column != "k"]) for row in rows)
        assert inside + passed == len(paths)
        assert len(set(ids(rows))) == len(rows)
        assert all(medium.member is not None for row in rows for medium in row.images)


@settings(max_examples=CASES, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from(["tar", "zip"]), st.integers(0, 40), st.binary(max_size=40))
def test_any_bytes_are_rows_or_a_refusal(start: bytes, ending: str, at: int, more: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / f"x.{ending}"
        archived(path, {"a.jpg": b"x" * 700, "a.txt": b"t"})
        body = bytearray(path.read_bytes())
        place = len(body) * at // 40
        body[place : place + len(more)] = more
        for content in (bytes(body), start + bytes(body), start, bytes(body) + start):
            path.write_bytes(content)
            try:
                rows = list(open_manifest(str(path), job_of()).rows())
            except ManifestError:
                continue
            assert all(row.id for row in rows)
