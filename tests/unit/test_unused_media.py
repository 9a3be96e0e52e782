"""Which columns name a picture, a sound or a video, by their name or by what they hold."""

from __future__ import annotations

import pytest

from pipeline.manifest.media_names import strong_kind
from pipeline.manifest.unused import find

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
MP4 = b"\0\0\0\x20ftypisom" + b"\0" * 20


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "image") for name in ("img", "IMG", "Image", "IMAGE", "images_", "picture", "pic", "photo", "Photos")),
        *((name, "image") for name in ("image_url", "imageUrl", "ImageURL", "image-url", "image url", "imageurl")),
        *(
            (name, "image")
            for name in ("image_path", "imgPath", "img_file", "picture_path", "photo_link", "image_name")
        ),
        *(
            (name, "image")
            for name in ("main_image", "productImageUrl", "url_image", "image1", "image_2", "image_bytes")
        ),
        *(
            (name, "image")
            for name in ("thumbnail", "screenshot_path", "jpg", "png", "图片", "图像", "照片", "图片链接", "商品图片")
        ),
        *(
            (name, "image")
            for name in ("imgae", "iamge", "immage", "imag", "pitcure", "pictrue_url", "phtoo", "phot", "photoo")
        ),
        *((name, "video") for name in ("vidoe", "viddeo")),
        *((name, "video") for name in ("video", "video_url", "Videos", "videoPath", "mp4", "视频", "视频地址")),
        *((name, "audio") for name in ("audio", "audio_path", "sound", "sound_file", "wav", "音频")),
        *((name, "frames") for name in ("frame", "frames", "frame_dir", "video_frames")),
    ],
)
def test_a_name_like_one_of_ours_tells_by_itself(name, kind):
    assert strong_kind(name) == kind


@pytest.mark.parametrize(
    "name",
    [
        "id", "prompt", "text", "caption", "topic", "epic", "category", "source", "note", "title", "url", "path",
        "has_image", "num_images", "image_count", "image_caption", "image_width", "image_description", "photo_credit",
        "video_title", "number_of_photos", "picturesque", "imagination", "soundtrack", "png_size", "图片描述", "",
        "mage", "photon", "audit", "audi", "vide", "pictured", "_", "42",
    ],
)  # fmt: skip
def test_other_names_tell_nothing_by_themselves(name):
    assert strong_kind(name) is None


@pytest.mark.parametrize("name", ["img", "photo_url", "图片", "video"])
@pytest.mark.parametrize("value", ["x", "17", b"\x01", ["a"], {"path": "x"}, [{"bytes": PNG, "path": None}]])
def test_a_column_that_looks_like_ours_counts_whatever_it_holds(name, value):
    for task in ("ask", "embed", "caption"):
        found = find({"id": "1", name: value}, task)
        assert found is not None
        assert found.column == name


@pytest.mark.parametrize(
    "value", [None, "", "  ", [], {}, [None], False, True, 3, 0.5, "null", "n/a", "[]", float("nan")]
)
def test_a_column_without_a_value_names_nothing(value):
    assert find({"id": "1", "img": value}, "ask") is None


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a.jpg", "image"),
        ("photos/A.JPEG ", "image"),
        ("photos/a.jpg?signature=abcdefghijklmnopqrstuvwxyz", "image"),
        ("./x y.png", "image"),
        ("IMG 0001.JPG", "image"),
        ("C:\\photos\\a.png", "image"),
        ("file:///data/a.webp", "image"),
        ("https://x.example/a.jpg", "image"),
        ("HTTPS://x.example/a.PNG?sig=abc&w=1", "image"),
        ("https://x.example/get?name=a.jpg&w=3", "image"),
        ("https://x.example/a.jpg!thumb", "image"),
        ("//x.example/a.jpg", "image"),
        ("s3://bucket/a.jpg", "image"),
        ("oss://bucket/key", "image"),
        ("data:image/png;base64,AAAA", "image"),
        ("DATA:IMAGE/JPEG;base64,/9j/", "image"),
        ("data:audio/wav;base64,AAAA", "audio"),
        ("data:video/mp4;base64,AAAA", "video"),
        ("/9j/" + "4AAQSkZJRgABAQ" * 20, "image"),
        ("iVBORw0KGgo" + "AAAA" * 20, "image"),
        ("https://x.example/v.mp4", "video"),
        ("clips/v.MOV", "video"),
        ("song.mp3", "audio"),
        ('["a.jpg", "b.jpg"]', "image"),
        ("['a.jpg', 'b.jpg']", "image"),
        ('{"bytes": null, "path": "a.jpg"}', "image"),
        ("a.jpg;b.jpg", "image"),
        ("a.jpg\nb.jpg", "image"),
        ("photos/*.jpg", "image"),
        (PNG, "image"),
        (MP4, "video"),
        ([PNG], "image"),
        (["a.jpg"], "image"),
        ([["a.jpg"]], "image"),
        ({"bytes": PNG, "path": None}, "image"),
        ({"bytes": None, "path": "x/a.jpg"}, "image"),
        ([{"deep": {"er": ["no", "a.gif"]}}], "image"),
        ({"meta": {"photo_url": "https://x.example/1"}}, "image"),
    ],
)
@pytest.mark.parametrize("task", ["ask", "embed"])
def test_a_reference_counts_in_a_column_of_any_name(task, value, kind):
    found = find({"id": "1", "note": "no picture here", "c3": value}, task)
    assert found is not None
    assert (found.column, found.kind) == ("c3", kind)


@pytest.mark.parametrize(
    "value",
    [
        "Please look at photo.jpg and tell me more",
        "The file photo.jpg is broken.",
        "He sent me a picture that was called holiday.jpg",
        "https://en.wikipedia.org/wiki/Cat",
        "https://example.com/page.html",
        "https://jpg.example/",
        "data: see below",
        "report.pdf",
        "main.ts",
        "3.14",
        "jpg",
        ".jpg",
        "a.jpgx",
        "a, b and c.",
        "[INST] hello [/INST]",
        "",
        b"plain",
        ["a", 1, None],
        {"k": {"n": 1}},
        17,
    ],
)
def test_other_values_are_no_references(value):
    assert find({"id": "1", "c3": value}, "ask") is None


def test_a_sentence_in_a_text_field_is_no_reference_and_a_bare_reference_is_one():
    for field in ("prompt", "system", "text"):
        assert find({"id": "1", field: "Describe photo.jpg"}, "ask") is None
        assert find({"id": "1", field: "https://x.example/photo.jpg"}, "ask") is not None
        assert find({"id": "1", field: "./my photos/a b.jpg"}, "ask") is not None
        assert find({"id": "1", field: "photo.jpg"}, "embed") is not None


def test_an_id_that_is_a_picture_names_one():
    assert find({"id": "photos/a.jpg", "prompt": "What is this?"}, "ask") is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", "https://x.example/images/17"),
        ("source_url", "https://x.example/17"),
        ("coco_url", "http://images.cocodataset.org/train2017/1"),
        ("file_name", "000000391895"),
        ("path", "set1/17"),
        ("image_id", 262148),
        ("image_id", "262148"),
        ("imageId", 7),
    ],
)
def test_a_link_that_may_be_a_picture_counts_for_a_question_and_not_for_a_text(name, value):
    assert find({"id": "1", name: value}, "ask") is not None
    assert find({"id": "1", "text": "a cat", name: value}, "embed") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", "https://example.com/page.html"),
        ("url", "https://example.com"),
        ("url", "https://example.com/"),
        ("file", "main.py"),
        ("path", "docs/readme.md"),
        ("link", None),
        ("url", "none of these"),
        ("path", ""),
        ("file", 3),
    ],
)
def test_a_link_that_cannot_be_a_picture_never_counts(name, value):
    assert find({"id": "1", name: value}, "ask") is None


def test_the_column_that_is_surest_is_named():
    row = {"id": "a.jpg", "url": "https://x.example/1", "note": "b.jpg", "Photo": "c"}
    found = find(row, "ask")
    assert found is not None
    assert (found.column, found.direct) == ("Photo", True)
    nested = find({"id": "1", "meta": {"img": "a.jpg"}}, "ask")
    assert nested is not None
    assert (nested.column, nested.direct) == ("meta", False)
