"""The fields that hold parts in order: `contents`, `messages`, `video`, `prompts`, as the reader takes them."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from support.manifests import job_of

from pipeline.manifest import from_table
from pipeline.manifest.row_media import expand_frames, row_media
from pipeline.types import Frames, FrameSource, Item, Row, TaskName

MARK = {"type": "ephemeral"}


def row_of(fields: dict[str, Any], task: TaskName = "ask") -> Row:
    return next(from_table([fields], job_of(task), "/base").rows())


def kinds(items: tuple[Item, ...]) -> list[str]:
    found: list[str] = []
    for item in items:
        content = item.content
        found.append("text" if isinstance(content, str) else "frames" if isinstance(content, Frames) else content.kind)
    return found


@pytest.mark.parametrize("task", ["caption", "ocr", "ask", "embed"])
def test_contents_keep_their_order_with_the_options_of_each(task: TaskName) -> None:
    parts = [
        {"text": "First", "cache_control": MARK},
        {"image": "a.jpg", "detail": "high", "min_pixels": 4, "max_pixels": 9, "enable_rotate": True},
        {"frames": ["b.jpg", "c.jpg"], "fps": "0.5", "max_pixels": 9, "total_pixels": 99},
        {"video": "https://h/v.mp4", "fps": 2, "min_frames": 4, "max_frames": 8},
        {"audio": "d.wav", "cache_control": MARK},
        {"text": "Last"},
    ]
    row = row_of({"contents": parts}, task)
    assert row.problem is None
    assert kinds(row.contents) == ["text", "image", "frames", "video", "audio", "text"]
    assert [dict(item.options) for item in row.contents] == [
        {"cache_control": MARK},
        {"detail": "high", "min_pixels": 4, "max_pixels": 9, "enable_rotate": True},
        {"max_pixels": 9, "total_pixels": 99},
        {"fps": 2, "min_frames": 4, "max_frames": 8},
        {"cache_control": MARK},
        {},
    ]
    frames = row.contents[2].content
    assert isinstance(frames, Frames)
    assert frames.fps == 0.5
    assert [media.path for media in row_media(row) if media.path] == [f"/base/{name}" for name in
                                                                      ("a.jpg", "b.jpg", "c.jpg", "d.wav")]  # fmt: skip


def test_frames_in_contents_may_be_a_folder_and_are_thinned() -> None:
    folder, some = row_of({"contents": [{"frames": "clip", "max_frames": 4},
                                        {"frames": [f"https://h/{n}.jpg" for n in range(9)],
                                         "max_frames": 3}]}).contents  # fmt: skip
    assert isinstance(folder.content, Frames)
    assert folder.content.images == FrameSource(ref="clip", pattern="/base/clip", max_frames=4)
    assert (folder.options, some.options) == ({}, {})
    thinned = expand_frames(
        row_of({"contents": [{"frames": [f"https://h/{n}.jpg" for n in range(9)], "max_frames": 3}]})
    )
    assert [media.url for media in row_media(thinned)] == ["https://h/0.jpg", "https://h/4.jpg", "https://h/8.jpg"]


def test_contents_from_parquet_have_only_the_keys_with_a_value() -> None:
    parts = [[{"text": "x"}, {"image": "a.jpg", "detail": "low"}, {"video": "https://h/v.mp4", "fps": 2.0}]]
    table = pa.table({"contents": parts})
    (row,) = from_table(table, job_of("ask"), "/base").rows()
    assert row.problem is None
    assert kinds(row.contents) == ["text", "image", "video"]
    assert [dict(item.options) for item in row.contents] == [{}, {"detail": "low"}, {"fps": 2}]


def test_a_whole_number_of_an_option_is_one_number() -> None:
    """A table of Python or Parquet may hold 2.0 where JSON holds 2: it is the same question."""
    one, other = (row_of({"contents": [{"video": "https://h/v.mp4", "fps": fps}]}) for fps in (2, 2.0))
    assert repr(one.contents[0].options) == repr(other.contents[0].options) == "{'fps': 2}"
    assert repr(row_of({"video": "https://h/v.mp4", "fps": "2"}).videos[0].options) == "{'fps': 2}"


def test_earlier_turns_may_hold_anything_in_order() -> None:
    turns = [
        {"role": "user", "frames": ["a.jpg", "b.jpg"], "fps": 2, "text": "What happens?"},
        {"role": "assistant", "text": "A ball rolls."},
        {"role": "user", "image": "c.jpg", "video": "https://h/v.mp4", "audio": "d.wav", "text": "And here?"},
        {"role": "assistant", "text": "It stops."},
        {"role": "user", "contents": [{"text": "Compare."}, {"image": "e.jpg", "detail": "low"}]},
        {"role": "assistant", "text": "Done."},
    ]
    row = row_of({"messages": json.dumps(turns), "prompt": "Once more."})
    assert row.problem is None
    first, _, third, _, fifth, _ = row.messages
    assert (kinds(first.items), first.text, first.images) == (["frames", "text"], None, ())
    assert isinstance(first.items[0].content, Frames)
    assert first.items[0].content.fps == 2.0
    assert kinds(third.items) == ["image", "video", "audio", "text"]
    assert kinds(fifth.items) == ["text", "image"]
    assert fifth.items[1].options == {"detail": "low"}
    assert [turn.text for turn in row.messages if turn.role == "assistant"] == ["A ball rolls.", "It stops.", "Done."]
    assert [media.ref for media in row_media(row)] == ["a.jpg", "b.jpg", "c.jpg", "https://h/v.mp4", "d.wav", "e.jpg"]


def test_videos_take_the_rows_rate_and_most_frames() -> None:
    row = row_of({"video": ["a.mp4", "https://h/b.mp4"], "fps": "0.5", "max_frames": "8"})
    assert [item.options for item in row.videos] == [{"fps": 0.5, "max_frames": 8}] * 2
    assert [getattr(item.content, "kind", None) for item in row.videos] == ["video", "video"]
    assert row.frames is None


def test_frames_and_a_video_of_one_row_are_both_read() -> None:
    row = row_of({"frames": ["a.jpg"], "video": "b.mp4", "fps": 2})
    assert row.frames is not None
    assert (row.frames.fps, row.videos[0].options) == (2.0, {"fps": 2})


@pytest.mark.parametrize("given", [["What?", "And?"], '["What?", "And?"]', ("What?", "And?")])
def test_prompts_are_texts_in_order(given: Any) -> None:
    assert row_of({"prompts": given}).prompts == ("What?", "And?")


def test_the_first_of_prompts_may_leave_the_question_to_contents() -> None:
    row = row_of({"contents": [{"text": "What?"}, {"image": "a.jpg"}], "prompts": ["", "And?"]})
    assert (row.problem, row.prompts) == (None, ("", "And?"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompts": "What?"}, "prompts: the text is not JSON"),
        ({"prompts": []}, "prompts: found a list of 0, expected a list of texts"),
        ({"prompts": {"a": 1}}, "prompts: found a table"),
        ({"prompts": 3}, "prompts: found the number 3"),
        ({"prompts": ["a", 3]}, "prompts[1]: found the number 3, expected text"),
        ({"prompts": ["a", None]}, "prompts[1]: found null, expected text"),
        ({"prompts": ["a", ""]}, "prompts[1]: found the text '', expected text"),
        ({"prompts": ["  ", "b"]}, "prompts[0]: found the text '  ', expected text"),
        ({"prompts": ["a"], "prompt": "b"}, "the row has `prompt` and `prompts`: give one of them"),
        ({"contents": [{"text": "a", "detail": "high"}]}, 'contents[0]: unknown key "detail"; expected cache_control'),
        ({"contents": [{"text": "a", "cachecontrol": 1}]}, 'did you mean "cache_control"?'),
        ({"contents": [{"image": "a", "detial": "high"}]}, 'contents[0]: unknown key "detial"; did you mean "detail"?'),
        ({"contents": [{"image": "a", "max_pixel": 9}]}, 'did you mean "max_pixels"?'),
        ({"contents": [{"image": "a", "fps": 2}]}, 'contents[0]: unknown key "fps"; expected detail'),
        ({"contents": [{"audio": "a", "detail": "x"}]}, 'contents[0]: unknown key "detail"'),
        ({"contents": [{"frames": ["a"], "min_frames": 2}]}, 'did you mean "max_frames"?'),
        ({"contents": [{"frames": ["a"], "fps": 0}]}, "contents[0].fps: found the number 0, expected a number above 0"),
        ({"contents": [{"frames": ["a"], "max_frames": 1.5}]}, "contents[0].max_frames"),
        ({"contents": [{"frames": 3}]}, "contents[0].frames: found the number 3"),
        ({"contents": [{"video": ["a.mp4"]}]}, "contents[0].video: found a list of 1, expected a path or URL"),
        ({"contents": [{"video": "a.mp4", "audio": "b.wav"}]}, "found video and audio, expected exactly one of"),
        ({"contents": [{"videos": "a.mp4"}]}, 'contents[0]: unknown key "videos"; did you mean "video"?'),
        ({"contents": [{"detail": "high"}]}, "contents[0]: found none, expected exactly one of image, text"),
        ({"video": 3}, "video: found the number 3, expected a path or URL"),
        ({"video": "a.mp4", "fps": "fast"}, "fps: found the text 'fast'"),
        ({"video": "a.mp4", "max_frames": 0}, "max_frames: found the number 0"),
        ({"messages": [{"role": "user", "text": "a", "fps": 2}]}, "messages[0]: fps without frames or video"),
        ({"messages": [{"role": "user", "frames": ["a"], "fps": -1}]}, "messages[0].fps"),
        ({"messages": [{"role": "user", "contents": [{"text": "a", "detail": 1}]}]},
         'messages[0].contents[0]: unknown key "detail"'),
        ({"messages": [{"role": "user", "video": 3}]}, "messages[0].video: found the number 3"),
        ({"messages": [{"role": "user", "content": "a"}]}, 'messages[0]: unknown key "content"; did you mean'),
        ({"messages": [{"role": "user", "contents": []}]}, "messages[0]: found neither text nor a picture"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_and_the_nearest(fields: dict[str, Any], words: str) -> None:
    problem = row_of({"id": "r", **fields}).problem
    assert problem is not None
    assert problem.code == "Local.BadField"
    assert words in problem.message
