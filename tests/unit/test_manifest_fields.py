from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.manifests import job_of, rows_of, written

from pipeline.manifest import from_table
from pipeline.media.refs import to_media
from pipeline.types import Media, Row, TaskName


def row_of(fields: dict[str, Any], task: TaskName = "embed", base: str = "/base") -> Row:
    return next(from_table([fields], job_of(task), base).rows())


def image(ref: str) -> Media:
    return to_media(ref, "image", "/base")


@pytest.mark.parametrize(
    ("ref", "path"),
    [
        ("a.jpg", "/base/a.jpg"),
        ("./sub/../a b.jpg", "/base/a b.jpg"),
        ("..a.jpg", "/base/..a.jpg"),
        ("~/a.jpg", "/base/~/a.jpg"),
        ("a%20b.jpg", "/base/a%20b.jpg"),
        ("10:30.jpg", "/base/10:30.jpg"),
        ("/abs/a.jpg", "/abs/a.jpg"),
        ("file:///abs/a%20b+c.jpg", "/abs/a b+c.jpg"),
        ("file://localhost/abs/a.jpg", "/abs/a.jpg"),
        ("file:/abs/a.jpg", "/abs/a.jpg"),
        ("FILE:///abs/a#1.jpg", "/abs/a#1.jpg"),
        ("file://sub/a.jpg", "/base/sub/a.jpg"),
        ("file://D:/images/a.png", "D:/images/a.png"),
        ("file:///D:/images/a.png", "D:/images/a.png"),
        ("C:\\photos\\a.png", "C:\\photos\\a.png"),
    ],
)
def test_local_references_become_absolute_paths_percent_decoded_in_file_urls_only(ref: str, path: str) -> None:
    assert image(ref).path == path


@pytest.mark.parametrize(
    "ref", ["https://h/a.jpg?x=1", "http://h:8080/a", "oss://bucket/key", "HTTPS://h/a", " https://h/a "]
)
def test_remote_references_stay_as_they_are(ref: str) -> None:
    media = image(ref)
    assert media.url == ref.strip()
    assert media.path is None


@pytest.mark.parametrize(
    "ref",
    ["data:image/png;base64,aGk=", "data:image/png;base64,aG k", "data:IMAGE/PNG;base64,aGk%3D", "data:image/png,hi"],
)
def test_data_urls_are_decoded(ref: str) -> None:
    assert (image(ref).data, image(ref).mime) == (b"hi", "image/png")


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        ("../a.jpg", "OutsideManifest"),
        ("x/../../a.jpg", "OutsideManifest"),
        ("file://../a.jpg", "OutsideManifest"),
        ("file://x/%2e%2e/%2e%2e/a.jpg", "OutsideManifest"),
        ("../base2/a.jpg", "OutsideManifest"),
        ("s3://b/k", "BadReference"),
        ("ftp://h/a", "BadReference"),
        ("https:///a.jpg", "BadReference"),
        ("https://h/a\nb", "BadReference"),
        ("data:image/png;base64", "BadReference"),
        ("data:image/png;base64,&&&&", "BadReference"),
        ("", "BadReference"),
        ("  ", "BadReference"),
        ("a\x00b", "BadReference"),
    ],
)
def test_a_reference_that_must_not_or_cannot_be_followed_is_the_rows_problem(ref: str, code: str) -> None:
    row = row_of({"id": "r", "image": ref, "shelf": 1})
    assert row.problem is not None
    assert row.problem.code == f"Local.{code}"
    assert (row.id, row.given, row.images, row.columns) == ("r", True, (), {"shelf": 1})


def test_a_message_about_a_reference_shows_no_signature_password_or_data() -> None:
    for ref in ("ftp://user:secret@h/a?Signature=secret", "https://user:secret@/a", "data:image/png;base64,secret!"):
        problem = row_of({"image": ref}).problem
        assert problem is not None
        assert "secret" not in problem.message


def test_a_text_that_looks_like_a_path_is_never_taken_for_one() -> None:
    row = row_of({"text": "/etc/hosts", "prompt": "file:///etc/hosts", "system": "~/.ssh/id_rsa"})
    assert (row.text, row.prompt, row.system) == ("/etc/hosts", "file:///etc/hosts", "~/.ssh/id_rsa")
    assert row.images == ()


def test_text_is_ours_for_embed_and_a_column_elsewhere() -> None:
    assert row_of({"text": "x"}).columns == {}
    assert row_of({"text": "x"}, "caption").columns == {"text": "x"}


def test_image_and_images_add_up_and_lists_may_be_json() -> None:
    row = row_of({"image": "a.jpg", "images": '["b.jpg", "c.jpg"]', "audio": ["d.wav"]})
    assert [media.ref for media in row.images] == ["a.jpg", "b.jpg", "c.jpg"]
    assert row.audio[0].kind == "audio"


def test_contents_keep_order_kind_and_factor() -> None:
    row = row_of({"contents": [{"image": "a.jpg", "factor": "5"}, {"text": "hi", "audio": None}, {"audio": "b.wav"}]})
    assert [item.factor for item in row.contents] == [5.0, None, None]
    assert [getattr(item.content, "kind", item.content) for item in row.contents] == ["image", "hi", "audio"]


def test_messages_carry_role_text_and_pictures() -> None:
    turns = [{"role": "user", "text": "q", "image": "a.jpg"}, {"role": "assistant", "text": "r"}]
    row = row_of({"messages": json.dumps(turns), "prompt": "and now?"}, "ask")
    assert [(turn.role, turn.text, len(turn.images)) for turn in row.messages] == [
        ("user", "q", 1),
        ("assistant", "r", 0),
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": True}, "id: found true, expected text or a number"),
        ({"id": ["a"]}, "id: found a list of 1"),
        ({"image": 3}, "image: found the number 3, expected a path or URL"),
        ({"images": ["a.jpg", 3]}, r"images\[1\]: found the number 3"),
        ({"images": {"a": 1}}, "images: found a table"),
        ({"prompt": 7}, "prompt: found the number 7, expected text"),
        ({"parameters": [1]}, "parameters: found a list of 1, expected a table"),
        ({"parameters": "{oops"}, "parameters: the text is not JSON"),
        ({"frames": 3}, "frames: found the number 3"),
        ({"frames": "https://h/v.mp4"}, "frames: https://h/v.mp4 is no local folder"),
        ({"frames": ["a.jpg"], "fps": 0}, "fps: found the number 0, expected a number above 0"),
        ({"frames": ["a.jpg"], "fps": "fast"}, "fps: found the text 'fast'"),
        ({"frames": ["a.jpg"], "max_frames": 2.5}, "max_frames: .*whole number"),
        ({"contents": "a"}, "contents: the text is not JSON"),
        ({"contents": [{"image": "a", "text": "b"}]}, r"contents\[0\]: found image and text, expected exactly one"),
        ({"contents": [{}]}, r"contents\[0\]: found none"),
        ({"contents": [{"text": "a", "factor": -1}]}, r"contents\[0\]\.factor"),
        ({"contents": [{"text": "a", "faktor": 1}]}, 'unknown key "faktor"; did you mean "factor"'),
        ({"messages": [{"role": "bot", "text": "a"}]}, r"messages\[0\]\.role: found the text 'bot'"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\]: found neither text nor a picture"),
        ({"messages": [3]}, r"messages\[0\]: found the number 3"),
    ],
)
def test_a_field_of_the_wrong_kind_says_which_what_and_what_instead(fields: dict[str, Any], words: str) -> None:
    problem = row_of(fields).problem
    assert problem is not None
    assert problem.code == "Local.BadField"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(problem.message)


def test_null_is_no_value_everywhere() -> None:
    row = row_of(dict.fromkeys(("id", "image", "images", "frames", "fps", "contents", "messages", "prompt")))
    assert (row.problem, row.given, row.images, row.frames) == (None, False, (), None)


def test_an_id_column_may_be_the_picture_column_too(tmp_path: Path) -> None:
    path = written(tmp_path, "m.jsonl", '{"image": "a.jpg", "id": 5}\n')
    (row,) = rows_of(path, id="image")
    assert (row.id, row.images[0].ref, row.columns) == ("a.jpg", "a.jpg", {"id": 5})


def test_mapped_names_replace_ours_and_the_plain_name_travels_along(tmp_path: Path) -> None:
    path = written(tmp_path, "m.jsonl", '{"sku": 7, "url": "https://h/a", "image": "note"}\n')
    (row,) = rows_of(path, id="sku", image="url")
    assert (row.id, row.images[0].url, row.columns) == ("7", "https://h/a", {"image": "note"})
