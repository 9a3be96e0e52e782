from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.manifests import job_of, written
from support.pictures import local

from pipeline.errors import Fault
from pipeline.manifest import from_table
from pipeline.manifest.row_media import expand, stat_key
from pipeline.types import Frames, Row


def row_of(base: Path, **fields: Any) -> Row:
    row = next(from_table([fields], job_of("ask"), str(base)).rows())
    assert row.problem is None
    return row


def names(row: Row) -> list[str]:
    assert row.frames is not None
    return [Path(media.path or "").name for media in expand(row.frames)]


def clip(folder: Path, count: int = 12) -> None:
    for number in range(1, count + 1):
        written(folder, f"clip/frame_{number}.jpg", b"x")
    written(folder, "clip/notes.txt", b"x")
    written(folder, "clip/deeper/frame_0.jpg", b"x")


def test_a_folder_of_frames_is_its_pictures_in_natural_order(tmp_path: Path) -> None:
    clip(tmp_path)
    assert names(row_of(tmp_path, frames="clip")) == [f"frame_{n}.jpg" for n in range(1, 13)]
    assert names(row_of(tmp_path, frames="clip/")) == [f"frame_{n}.jpg" for n in range(1, 13)]


def test_frames_behind_a_glob_and_in_a_list_keep_their_order(tmp_path: Path) -> None:
    clip(tmp_path)
    assert names(row_of(tmp_path, frames="clip/frame_1*.jpg")) == [f"frame_{n}.jpg" for n in (1, 10, 11, 12)]
    assert names(row_of(tmp_path, frames=["clip/frame_3.jpg", "clip/frame_1.jpg"])) == ["frame_3.jpg", "frame_1.jpg"]


@pytest.mark.parametrize(
    ("most", "taken"), [(1, [0]), (2, [0, 9]), (4, [0, 3, 6, 9]), (10, list(range(10))), (99, list(range(10)))]
)
def test_max_frames_samples_evenly_with_first_and_last(most: int, taken: list[int]) -> None:
    pictures = tuple(local(Path(f"/{n}.jpg")) for n in range(10))
    assert expand(Frames(images=pictures, max_frames=most)) == tuple(pictures[index] for index in taken)


def test_fps_and_max_frames_are_read_with_the_frames(tmp_path: Path) -> None:
    clip(tmp_path)
    row = row_of(tmp_path, frames="clip", fps=2, max_frames="3")
    assert row.frames is not None
    assert row.frames.fps == 2.0
    assert names(row) == ["frame_1.jpg", "frame_7.jpg", "frame_12.jpg"]


@pytest.mark.parametrize("where", ["gone", "empty", "gone/*.jpg", "clip/*.png", "clip/notes.txt"])
def test_frames_that_are_not_there_are_refused(tmp_path: Path, where: str) -> None:
    clip(tmp_path)
    (tmp_path / "empty").mkdir()
    frames = row_of(tmp_path, frames=where).frames
    assert frames is not None
    with pytest.raises(Fault, match=r"Local\.MissingFrames"):
        expand(frames)


def test_a_stamp_follows_size_time_path_and_order_of_all_local_files(tmp_path: Path) -> None:
    clip(tmp_path, 2)
    one, two = "clip/frame_1.jpg", "clip/frame_2.jpg"
    stamps = [
        stat_key(row_of(tmp_path, image=one)),
        stat_key(row_of(tmp_path, image=two)),
        stat_key(row_of(tmp_path, images=[one, two])),
        stat_key(row_of(tmp_path, images=[two, one])),
        stat_key(
            row_of(tmp_path, image=one, messages=[{"role": "user", "image": two}, {"role": "user", "image": one}])
        ),
    ]
    assert None not in stamps
    assert len(set(stamps)) == len(stamps)
    assert stat_key(row_of(tmp_path, image=one)) == stamps[0]
    assert stat_key(row_of(tmp_path, frames="clip")) == stamps[2]
    os.utime(tmp_path / one, ns=(1, 1))
    assert stat_key(row_of(tmp_path, image=one)) != stamps[0]


def test_there_is_no_stamp_without_local_files_or_with_one_missing(tmp_path: Path) -> None:
    clip(tmp_path, 1)
    assert stat_key(row_of(tmp_path, image="https://h/a.jpg")) is None
    assert stat_key(row_of(tmp_path, images=["clip/frame_1.jpg", "gone.jpg"])) is None
    assert stat_key(row_of(tmp_path, frames="gone")) is None
