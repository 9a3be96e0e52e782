"""Frames taken from a video: which, how many, how they look, and what is told about them."""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.videos import CODECS, moving, picture, scenes, video

from pipeline.media.video import Frame, probe_video, sample_frames, take_frames

RED, GREEN, BLUE, GREY = (200, 30, 30), (30, 160, 40), (30, 40, 200), (120, 120, 120)


def colour(frame: Frame) -> tuple[int, ...]:
    with Image.open(io.BytesIO(frame.jpeg)) as image:
        assert (image.format, image.size) == ("JPEG", (frame.width, frame.height))
        return tuple(int(value) for value in np.asarray(image).reshape(-1, 3).mean(axis=0))


def near(found: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(one - other) < 12 for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("container", sorted(CODECS))
def test_frames_stand_evenly_from_first_to_last(container: str) -> None:
    taken = take_frames(video(moving(31), container=container), most=7)
    assert [frame.seconds for frame in taken.frames] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
    assert taken.fps == pytest.approx(2.0)
    assert taken.duration == pytest.approx(3.1, abs=0.01)
    assert taken.dropped_equal == 0


def test_a_short_video_gives_all_its_frames_once() -> None:
    taken = take_frames(video(moving(5)), most=64)
    assert [frame.seconds for frame in taken.frames] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_one_frame_is_the_middle_one() -> None:
    (frame,) = take_frames(video(scenes((RED, 5), (GREEN, 5), (BLUE, 5))), most=1, least=1).frames
    assert near(colour(frame), GREEN)


def test_scene_changes_are_found_where_they_are() -> None:
    drawn = scenes((RED, 31), (GREEN, 4), (BLUE, 40), (GREY, 25))
    taken = take_frames(video(drawn), most=5, by="scene", least=1)
    assert [frame.seconds for frame in taken.frames] == pytest.approx([0.0, 3.1, 3.5, 7.5])
    assert all(map(near, map(colour, taken.frames), (RED, GREEN, BLUE, GREY)))
    assert taken.dropped_equal == 1


def test_equal_neighbours_are_dropped_and_counted() -> None:
    taken = take_frames(video(scenes((RED, 30), (BLUE, 30))), most=12, least=1)
    assert list(map(near, map(colour, taken.frames), (RED, BLUE))) == [True, True]
    assert taken.dropped_equal == 10


@pytest.mark.parametrize("by", ["time", "scene"])
def test_a_still_video_keeps_the_least_evenly_spread(by: Any) -> None:
    taken = take_frames(video(scenes((GREY, 31))), most=16, by=by)
    assert [frame.seconds for frame in taken.frames] == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.25)
    assert taken.frames[-1].seconds == pytest.approx(3.0)
    assert len(take_frames(video(scenes((GREY, 31))), most=16, least=1, by=by).frames) == 1


def test_a_video_of_fewer_frames_than_the_least_repeats_them() -> None:
    taken = take_frames(video(scenes((RED, 1), (BLUE, 1))), most=8, least=4)
    assert [near(colour(frame), RED) for frame in taken.frames] == [True, True, False, False]


def test_a_moved_bar_is_no_equal_frame_and_noise_is() -> None:
    rng = np.random.default_rng(3)
    noisy = [np.clip(picture(GREY).astype(int) + rng.integers(-9, 10, (48, 64, 3)), 0, 255).astype(np.uint8)] * 30
    assert len(take_frames(video(noisy), most=10, least=1).frames) == 1
    bars = [picture(GREY, place / 10, (640, 480)) for place in range(10)]
    assert len(take_frames(video(bars), most=10, least=1).frames) == 10


@pytest.mark.parametrize(("turned", "corner"), [(90, "top-right"), (180, "bottom-right"), (270, "bottom-left")])
def test_frames_stand_upright(turned: int, corner: str) -> None:
    """A red corner, top left as stored, comes to stand where a player shows it: turns are clockwise."""
    drawn = picture(GREY, size=(96, 64))
    drawn[:24, :24] = RED
    data = video([drawn] * 4, turned=turned)
    frame = take_frames(data, most=4).frames[0]
    assert (frame.width, frame.height) == ((96, 64) if turned == 180 else (64, 96))
    info = probe_video(data)
    assert (info.width, info.height) == (frame.width, frame.height)
    image = Image.open(io.BytesIO(frame.jpeg))
    x = frame.width - 8 if "right" in corner else 8
    y = frame.height - 8 if "bottom" in corner else 8
    pixel: Any = image.getpixel((x, y))
    assert near(pixel, RED)


def test_pixels_that_are_not_square_are_made_square() -> None:
    data = video(moving(4, (72, 56)), ratio=Fraction(16, 11))
    assert (take_frames(data, most=4).frames[0].width, probe_video(data).width) == (105, 105)


def test_frames_of_a_variable_rate_stand_at_their_own_times() -> None:
    stamps = [0, 40, 80, 120, 1000, 2000, 2040, 3000]
    taken = take_frames(video(moving(8), stamps=stamps), most=4)
    assert [frame.seconds for frame in taken.frames] == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.002)


def test_frames_are_downscaled_to_the_pixels_that_are_useful() -> None:
    taken = take_frames(video(moving(4, (640, 360))), most=4, max_pixels=20_000)
    for frame in taken.frames:
        assert frame.width * frame.height <= 20_000
        assert frame.width / frame.height == pytest.approx(16 / 9, rel=0.02)


def test_the_same_video_gives_the_same_bytes_from_bytes_path_and_file(tmp_path: Path) -> None:
    data = video(moving(40, (320, 240)), key_every=7)
    path = tmp_path / "a b.mp4"
    path.write_bytes(data)
    first = take_frames(data, most=9)
    with path.open("rb") as file:
        assert first == take_frames(str(path), most=9) == take_frames(file, most=9)
        assert not file.closed


def test_a_frame_is_the_same_whatever_is_taken_beside_it() -> None:
    """Seeking and skipping change nothing of what is seen."""
    data = video(moving(61, (160, 120)), key_every=11)
    every = {frame.seconds: frame.jpeg for frame in take_frames(data, most=61).frames}
    for most in (2, 3, 7, 13):
        for frame in take_frames(data, most=most, least=1).frames:
            assert frame.jpeg == every[frame.seconds]


def test_sampling_takes_so_many_a_second_equal_or_not() -> None:
    data = video(scenes((GREY, 31)))
    for fps, bounds, count in ((2.0, (4, 100), 6), (10.0, (4, 4), 4), (0.1, (4, 100), 4), (1.0, (8, 100), 8)):
        taken = sample_frames(data, fps=fps, least=bounds[0], most=bounds[1])
        assert len(taken.frames) == count
        assert (taken.frames[0].seconds, taken.frames[-1].seconds) == pytest.approx((0.0, 3.0))


def test_a_probe_tells_size_length_and_rate_by_the_headers() -> None:
    info = probe_video(video(moving(25, (80, 60)), fps=25, sound=1.0))
    assert (info.width, info.height, info.frames) == (80, 60, 25)
    assert (info.seconds, info.fps) == pytest.approx((1.0, 25.0))


def test_a_live_recording_without_a_length_has_frames_all_the_same() -> None:
    data = video(moving(31), container="matroska", options={"live": "1"})
    assert probe_video(data).seconds is None
    assert [frame.seconds for frame in take_frames(data, most=4).frames] == pytest.approx([0.0, 1.0, 2.0, 3.0])


def test_frames_of_a_video_with_sound_are_those_of_its_pictures() -> None:
    taken = take_frames(video(moving(21), sound=2.1), most=5)
    assert [frame.seconds for frame in taken.frames] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])


def test_colours_stay_as_they_were() -> None:
    (frame,) = take_frames(video([picture(RED)] * 3), most=1, least=1).frames
    assert near(colour(frame), RED)


@pytest.mark.parametrize(("most", "least"), [(3, 4), (4, 0), (0, 0)])
def test_impossible_numbers_are_a_value_error(most: int, least: int) -> None:
    with pytest.raises(ValueError, match="1 ≤ least ≤ most"):
        take_frames(b"", most=most, least=least)


def test_neighbours_that_stay_are_never_equal() -> None:
    drawn = scenes((RED, 6), (GREEN, 6), (RED, 6), (BLUE, 6))
    taken = take_frames(video(drawn), most=24, least=1)
    assert all(one.jpeg != other.jpeg for one, other in pairwise(taken.frames))
    assert len(taken.frames) == 4


REORDERED = [
    ("avi", "libx264", {"bf": "3"}),
    ("mp4", "libx264", {"bf": "3"}),
    ("mpegts", "libx264", {"bf": "3", "x264-params": "open-gop=1"}),
    ("matroska", "libx264", {"bf": "3", "x264-params": "open-gop=1"}),
    ("flv", "libx264", {"bf": "3"}),
    ("mp4", "mpeg4", {"bf": "2"}),
    ("mpegts", "mpeg2video", {"bf": "2"}),
]


@pytest.mark.parametrize(("container", "codec", "options"), REORDERED)
def test_a_frame_is_the_one_shown_at_its_time(container: str, codec: str, options: dict[str, str]) -> None:
    """Also where frames are stored in another order than they are shown."""
    shades = [picture((40, number * 67 % 255, 160), size=(96, 64)) for number in range(61)]
    data = video(shades, container=container, codec=codec, coded=options, fps=25)
    for most in (5, 13, 61):
        taken = take_frames(data, most=most, least=1)
        assert len(taken.frames) == most
        for frame in taken.frames:
            assert abs(colour(frame)[1] - round(frame.seconds * 25) * 67 % 255) < 24
