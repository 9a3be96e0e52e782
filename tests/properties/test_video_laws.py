"""Laws of the frames taken from any video: how many, in which order, how far apart, which may be left out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support.videos import moving, picture, video

from pipeline.errors import Fault
from pipeline.media.video import probe_video, sample_frames, take_frames

CONTAINERS = st.sampled_from(["mp4", "matroska", "webm", "avi", "mpegts", "gif"])
COLOURS = [(200, 30, 30), (30, 160, 40), (30, 40, 200), (120, 120, 120)]


@st.composite
def numbers(draw: Any) -> tuple[int, int]:
    """`least` and `most`."""
    most = draw(st.integers(1, 20))
    return draw(st.integers(1, most)), most


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 70), fps=st.sampled_from([5, 10, 24, 30]), bounds=numbers(), container=CONTAINERS)
def test_frames_are_even_in_time_and_as_many_as_asked(
    count: int, fps: int, bounds: tuple[int, int], container: str
) -> None:
    least, most = bounds
    if container == "mpegts":  # MPEG-2 has this rate; FFmpeg does not know so short a stream of one frame
        count, fps = max(count, 6), 25
    data = video(moving(count), fps=fps, container=container)
    taken = take_frames(data, most=most, least=least)
    times = [frame.seconds for frame in taken.frames]
    assert len(times) == max(min(most, count), least)
    if count >= least:
        assert all(one < other for one, other in pairwise(times))
        assert taken.dropped_equal == 0
    length = (count - 1) / fps
    if most > 1:
        assert times[0] == 0
        if count >= most:
            for place, seconds in enumerate(times):
                assert abs(seconds - length * place / (most - 1)) <= 0.51 / fps + 0.011
    if times[-1] > times[0]:
        assert abs(taken.fps - (len(times) - 1) / (times[-1] - times[0])) < 1e-3


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.tuples(st.sampled_from(COLOURS), st.integers(1, 20)), min_size=1, max_size=8),
    bounds=numbers(),
    by=st.sampled_from(["time", "scene"]),
)
def test_what_is_left_out_equals_its_neighbour(parts: Any, bounds: tuple[int, int], by: Any) -> None:
    least, most = bounds
    drawn = [picture(colour) for colour, count in parts for _ in range(count)]
    taken = take_frames(video(drawn), most=most, least=least, by=by)
    assert least <= len(taken.frames) <= most
    times = [frame.seconds for frame in taken.frames]
    assert times == sorted(times)
    if len(taken.frames) > least:
        assert all(one.jpeg != other.jpeg for one, other in pairwise(taken.frames))
    changes = sum(one[0] != other[0] for one, other in pairwise(parts)) + 1
    if by == "scene" and most > changes and least <= changes:
        assert len(taken.frames) == changes


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 60), rate=st.sampled_from([0.5, 1.0, 2.0, 3.0, 10.0]), most=st.integers(4, 30))
def test_sampled_frames_are_as_many_as_the_rate_asks_within_bounds(count: int, rate: float, most: int) -> None:
    taken = sample_frames(video(moving(count)), fps=rate, least=4, most=most)
    wanted = min(max(4, int(count / 10 * rate + 1e-6)), most, count)
    assert len(taken.frames) == (wanted - wanted % 2 if wanted > 1 else wanted)
    assert taken.frames[-1].seconds <= taken.duration


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 40), turned=st.sampled_from([0, 90, 180, 270]), width=st.sampled_from([64, 96]))
def test_a_probe_agrees_with_what_is_taken(count: int, turned: int, width: int) -> None:
    data = video(moving(count, (width, 48)), turned=turned)
    info, taken = probe_video(data), take_frames(data, most=4)
    assert {(frame.width, frame.height) for frame in taken.frames} == {(info.width, info.height)}
    assert info.frames == count
    assert abs((info.seconds or 0) - taken.duration) < 0.011


WHOLE = {
    container: video(moving(20), container=container, key_every=8)
    for container in ("mp4", "matroska", "avi", "mpegts", "flv", "gif", "asf")
}


@settings(max_examples=80, deadline=None)
@given(
    container=st.sampled_from(sorted(WHOLE)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=40),
    kept=st.floats(0.02, 1.0) | st.just(1.0),
)
def test_any_damage_gives_frames_or_a_refusal(container: str, changes: Any, kept: float) -> None:
    body = bytearray(WHOLE[container])
    for share, value in changes:
        body[int(share**2 * (len(body) - 1))] = value  # the headers more often than the rest
    damaged = bytes(body[: int(len(body) * kept)])
    taken, fault = None, None
    try:
        taken = take_frames(damaged, most=6)
    except Fault as refusal:
        fault = refusal
    if fault is not None:
        assert (fault.kind, fault.code[:6], fault.message[:11]) == ("rejected", "Local.", "the video: ")
    else:
        assert taken is not None
        assert 4 <= len(taken.frames) <= 6
