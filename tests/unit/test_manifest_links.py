"""Links in a folder or glob that the user named are followed; what leads round in circles is counted."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.archives import tar
from support.manifests import ids, job_of, problems, rows_of, written
from support.pictures import drawn, encoded

from pipeline.errors import Fault
from pipeline.manifest import open_manifest
from pipeline.manifest.rows import InputRules
from pipeline.media.load import load
from pipeline.types import MediaLimits


def test_a_folder_of_links_is_read(tmp_path: Path) -> None:
    body = encoded(drawn(40, 30))
    written(tmp_path, "blobs/f00", body)
    (tmp_path / "snap").mkdir()
    (tmp_path / "snap/1.jpg").symlink_to("../blobs/f00")
    manifest = open_manifest(str(tmp_path / "snap"), job_of())
    (row,) = manifest.rows()
    assert (row.id, row.problem) == ("1.jpg", None)
    assert load(row.images[0], MediaLimits(), confine=manifest.root).body == body


def test_a_linked_folder_is_read_like_a_folder(tmp_path: Path) -> None:
    for name in ("pool/x.jpg", "pool/deep/y.jpg", "in/a.jpg"):
        written(tmp_path, name, b"x")
    (tmp_path / "in/cat").symlink_to(tmp_path / "pool")
    assert ids(rows_of(tmp_path / "in")) == ["a.jpg", "cat/deep/y.jpg", "cat/x.jpg"]
    assert ids(rows_of(tmp_path / "in/*/*.jpg")) == ["cat/x.jpg"]
    assert problems(rows_of(tmp_path / "in")) == {}


def test_a_link_in_a_circle_is_passed_over_and_counted(tmp_path: Path) -> None:
    written(tmp_path, "in/a.jpg", b"x")
    written(tmp_path, "in/sub/b.jpg", b"x")
    (tmp_path / "in/round").symlink_to(tmp_path / "in")
    (tmp_path / "in/sub/up").symlink_to("..")
    manifest = open_manifest(str(tmp_path / "in"), job_of())
    assert ids(list(manifest.rows())) == ["a.jpg", "sub/b.jpg"]
    assert manifest.passed_over() == {"circular link": 2}


def test_an_output_of_0_1_0_follows_no_linked_folder(tmp_path: Path) -> None:
    written(tmp_path, "pool/x.jpg", b"x")
    written(tmp_path, "in/a.jpg", b"x")
    (tmp_path / "in/cat").symlink_to(tmp_path / "pool")
    manifest = open_manifest(str(tmp_path / "in"), job_of(), InputRules(derived_ids=1))
    assert ids(list(manifest.rows())) == ["a.jpg"]
    assert manifest.passed_over() == {"linked folder": 1}


def test_links_that_multiply_are_walked_once(tmp_path: Path) -> None:
    """Forty levels of two links each would be a million million pictures."""
    for level in range(40):
        folder = tmp_path / f"pool/{level}"
        folder.mkdir(parents=True)
        written(folder, "p.jpg", b"x")
        for side in "ab":
            (folder / side).symlink_to(f"../{level + 1}")
    written(tmp_path, "pool/40/p.jpg", b"x")
    assert len(rows_of(tmp_path / "pool/0")) <= 2 * 41


def test_frames_in_a_linked_folder_stay_within_the_manifest(tmp_path: Path) -> None:
    from pipeline.manifest.row_media import expand_frames

    written(tmp_path, "out/f1.jpg", encoded(drawn(8, 8)))
    written(tmp_path, "in/rows.jsonl", '{"id": "a", "frames": "clips/*/*.jpg"}\n')
    (tmp_path / "in/clips").mkdir()
    (tmp_path / "in/clips/one").symlink_to(tmp_path / "out")
    manifest = open_manifest(str(tmp_path / "in/rows.jsonl"), job_of("ask"))
    (row,) = manifest.rows()
    frames = expand_frames(row).frames
    assert frames is not None
    assert len(frames.images) == 1  # type: ignore[arg-type]
    with pytest.raises(Fault, match="OutsideManifest"):
        load(frames.images[0], MediaLimits(), confine=manifest.root)  # type: ignore[index]


def test_a_snapshot_of_the_hub_is_read_as_it_lies(tmp_path: Path) -> None:
    """A cache folder holds `snapshots/<revision>` with links into `blobs`; the manifest is such a link too."""
    repo, body = tmp_path / "datasets--me--set", encoded(drawn(40, 30))
    written(repo, "blobs/f00", body)
    written(repo, "blobs/f01", '{"file_name": "train/1.jpg", "label": "cat"}\n')
    written(repo, "secret/1.jpg", body)
    snap = repo / "snapshots/0123abcd"
    (snap / "train").mkdir(parents=True)
    (snap / "train/1.jpg").symlink_to("../../../blobs/f00")
    (snap / "metadata.jsonl").symlink_to("../../blobs/f01")
    (snap / "out.jpg").symlink_to("../../secret/1.jpg")
    manifest = open_manifest(str(snap / "metadata.jsonl"), job_of(columns={"image": "file_name"}))
    (row,) = manifest.rows()
    assert row.columns == {"label": "cat"}
    assert load(row.images[0], MediaLimits(), confine=manifest.root).body == body
    written(repo, "blobs/f01", '{"file_name": "out.jpg"}\n')
    (row,) = manifest.rows()
    with pytest.raises(Fault, match="OutsideManifest"):
        load(row.images[0], MediaLimits(), confine=manifest.root)


def test_a_cache_folder_of_the_hub_means_its_newest_snapshot(tmp_path: Path) -> None:
    repo = tmp_path / "datasets--me--set"
    written(repo, "blobs/f00", encoded(drawn(8, 8)))
    for revision in ("aaa", "bbb"):
        (repo / f"snapshots/{revision}").mkdir(parents=True)
        (repo / f"snapshots/{revision}/{revision}.jpg").symlink_to("../../blobs/f00")
    written(repo, "refs/main", "bbb")
    assert ids(rows_of(repo)) == ["bbb.jpg"]


def test_parquet_shards_of_a_snapshot_are_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    repo = tmp_path / "datasets--me--set"
    body = encoded(drawn(40, 30))
    table = pa.table({"image": [{"bytes": body, "path": "1.jpg"}], "label": [3]})
    pq.write_table(table, written(repo, "blobs/f00", b""))
    (repo / "snapshots/aaa/data").mkdir(parents=True)
    (repo / "snapshots/aaa/data/train-00000-of-00001.parquet").symlink_to("../../../blobs/f00")
    for spec in (repo, repo / "snapshots/aaa", repo / "snapshots/aaa/data/*.parquet"):
        (row,) = rows_of(spec)
        assert dict(row.columns) == {"label": 3}
        assert load(row.images[0], MediaLimits()).body == body


def test_an_archive_in_a_snapshot_is_read(tmp_path: Path) -> None:
    repo, body = tmp_path / "datasets--me--set", encoded(drawn(40, 30))
    tar(repo / "blobs/f00", {"1.jpg": body})
    (repo / "snapshots/aaa").mkdir(parents=True)
    (repo / "snapshots/aaa/0.tar").symlink_to("../../blobs/f00")
    for spec in (repo, repo / "snapshots/aaa/0.tar"):
        manifest = open_manifest(str(spec), job_of())
        (row,) = manifest.rows()
        assert row.id == "0.tar#1.jpg"
        assert load(row.images[0], MediaLimits(), confine=manifest.root).body == body
