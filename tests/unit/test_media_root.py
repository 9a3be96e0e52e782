"""`[media] root` names where relative paths begin and what may be read beside the manifest's folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.manifests import job_of, problems, written
from support.pictures import drawn, encoded

from pipeline.errors import Fault, ManifestError
from pipeline.job.load import load as load_job
from pipeline.job.schema import JobFile, MediaSection
from pipeline.manifest import from_table, open_manifest
from pipeline.manifest.replayable import replayable_row
from pipeline.media.load import load
from pipeline.types import MediaLimits, Row


def rooted(root: Path | str) -> JobFile:
    return msgspec.structs.replace(job_of(), media=MediaSection(root=str(root)))


def row_of(folder: Path, image: str, root: Path | str) -> tuple[Row, str]:
    written(folder, "lists/m.jsonl", msgspec.json.encode({"id": "a", "image": image}))
    manifest = open_manifest(str(folder / "lists/m.jsonl"), rooted(root))
    return next(iter(manifest.rows())), manifest.root


@pytest.mark.parametrize(
    ("root", "image"),
    [
        ("images", "1.jpg"),
        ("images", "../images/1.jpg"),
        (".", "images/1.jpg"),
        (".", "../images/1.jpg"),
        ("other", "near.jpg"),
    ],
)
def test_pictures_beside_the_manifest_are_read(tmp_path: Path, root: str, image: str) -> None:
    body = encoded(drawn(40, 30))
    for name in ("images/1.jpg", "lists/near.jpg", "other/near.jpg", "secret.jpg"):
        written(tmp_path, name, body)
    row, bounds = row_of(tmp_path, image, tmp_path / root)
    assert row.problem is None
    assert load(row.images[0], MediaLimits(), confine=bounds).body == body
    kept = replayable_row(row, rooted(tmp_path / root), bounds)
    assert kept["image"] == row.images[0].path


@pytest.mark.parametrize("image", ["../secret.jpg", "../../secret.jpg", "file://../secret.jpg"])
def test_what_lies_beside_root_and_manifest_is_not_read(tmp_path: Path, image: str) -> None:
    (tmp_path / "images").mkdir()
    row, _ = row_of(tmp_path, image, tmp_path / "images")
    assert problems([row]) == {"a": "Local.OutsideManifest"}
    assert row.problem is not None
    assert "media.root" in row.problem.message


def test_links_out_of_root_and_manifest_are_refused(tmp_path: Path) -> None:
    body = encoded(drawn(40, 30))
    written(tmp_path, "secret.jpg", body)
    written(tmp_path, "lists/in.jpg", body)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/out.jpg").symlink_to("../secret.jpg")
    (tmp_path / "images/in.jpg").symlink_to("../lists/in.jpg")
    row, bounds = row_of(tmp_path, "out.jpg", tmp_path / "images")
    with pytest.raises(Fault, match="OutsideManifest"):
        load(row.images[0], MediaLimits(), confine=bounds)
    row, bounds = row_of(tmp_path, "in.jpg", tmp_path / "images")
    assert load(row.images[0], MediaLimits(), confine=bounds).body == body


def test_a_root_in_the_job_is_relative_to_the_job(tmp_path: Path) -> None:
    text = 'task = "caption"\nmanifest = "m.jsonl"\noutput = "out"\n[media]\nroot = "../images/{day}"\n'
    path = written(tmp_path, "jobs/job.toml", text + '[provider]\nname = "openai"\nmodel = "m"\n')
    spec = load_job(path, overrides={"provider.model": "n"}, variables={"day": "monday"})
    assert spec.job.media.root == spec.base.media.root == str(tmp_path / "images/monday")


def test_a_root_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"media\.root: there is no folder .*/gone"):
        row_of(tmp_path, "a.jpg", tmp_path / "gone")
    with pytest.raises(ManifestError, match=r"media\.root"):
        from_table([{"image": "a.jpg"}], rooted(tmp_path / "gone"), str(tmp_path))


def test_a_table_from_python_begins_at_the_root(tmp_path: Path) -> None:
    (row,) = from_table([{"image": "a.jpg"}], rooted(tmp_path), "/elsewhere").rows()
    assert row.images[0].path == str(tmp_path / "a.jpg")
