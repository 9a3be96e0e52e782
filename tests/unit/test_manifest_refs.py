from __future__ import annotations

import hashlib

import pytest

from pipeline.media.redact import public, redacted, unsigned
from pipeline.types import Media


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://h/a.jpg", "https://h/a.jpg"),
        ("https://h/a.jpg?", "https://h/a.jpg"),
        ("https://h/a.jpg?b=2&a=1&a=", "https://h/a.jpg?b=2&a=1&a="),
        ("https://h/a%2Fb?q=%41+b", "https://h/a%2Fb?q=%41+b"),
        (
            "https://h/a?OSSAccessKeyId=k&Expires=1&Signature=s%3D&x-oss-process=image/resize",
            "https://h/a?x-oss-process=image/resize",
        ),
        (
            "https://h/a?x-oss-signature-version=OSS4&x-oss-credential=c&x-oss-date=d&x-oss-expires=1&x-oss-signature=s",
            "https://h/a",
        ),
        (
            "https://h/a?X-Amz-Algorithm=A&X-Amz-Credential=c&X-Amz-Date=d&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=s&versionId=3",
            "https://h/a?versionId=3",
        ),
        ("https://h/a?GoogleAccessId=g&Expires=1&Signature=s", "https://h/a"),
        ("https://h/a?X-Goog-Algorithm=A&X-Goog-Signature=s&X-Goog-Date=1", "https://h/a"),
        ("https://h/a?sv=1&sr=b&sp=r&se=2&st=1&spr=https&sig=s", "https://h/a"),
        ("https://h/a?sv=1&sr=b&st=1", "https://h/a?sv=1&sr=b&st=1"),
        ("https://h/a?Policy=p&Key-Pair-Id=k&Signature=s", "https://h/a"),
        ("https://h/a?e=1&token=ak:s", "https://h/a"),
        ("https://h/a?e=1&expires=2", "https://h/a?e=1&expires=2"),
        ("https://h/a?authorization=bce-auth-v1%2Fx", "https://h/a"),
        ("https://h/a?q-sign-algorithm=sha1&q-ak=a&q-signature=s&q=1", "https://h/a?q=1"),
        ("https://h/a?security-token=t&size=2", "https://h/a?size=2"),
        ("https://h/a?%53ignature=s", "https://h/a"),
        ("https://user:pw@h:8443/a", "https://h:8443/a"),
        ("https://user:p@w@h/a@b", "https://h/a@b"),
        ("https://h/a?x=1#access_token=s", "https://h/a?x=1"),
        ("oss://bucket/key", "oss://bucket/key"),
    ],
)
def test_signatures_passwords_and_fragments_go_and_everything_else_stays_to_the_letter(url: str, kept: str) -> None:
    assert unsigned(url) == kept
    assert unsigned(kept) == kept


def test_public_shows_data_by_its_hash_and_files_by_their_path() -> None:
    digest = hashlib.sha256(b"hi").hexdigest()
    data = Media(kind="image", ref="data:image/png;base64,aGk=", data=b"hi", mime="image/png")
    assert public(data) == f"data:image/png;sha256={digest}"
    assert public(Media(kind="image", ref="a.jpg", path="/x/a.jpg")) == "/x/a.jpg"
    assert public(Media(kind="image", ref="u", url="https://h/a?sig=s")) == "https://h/a"
    assert redacted({"a": ["data:image/png;base64,aGk=", "data: is a word"]}) == {
        "a": [f"data:image/png;sha256={digest}", "data: is a word"]
    }


def test_scrubbing_reaches_into_lists_and_tables_and_leaves_other_values_alone() -> None:
    value = {"n": 1, "u": [" https://h/a?token=t "], "deep": {"x": None, "t": "plain ?token=t"}, "b": b"xyz"}
    assert redacted(value) == {
        "n": 1,
        "u": ["https://h/a"],
        "deep": {"x": None, "t": "plain ?token=t"},
        "b": "<3 bytes>",
    }


def test_picture_data_inside_a_broken_text_is_told_by_its_hash() -> None:
    """A list in JSON that a CSV cell cut off is kept with the failure, and the picture in it is not."""
    cut = '[{"image": "data:image/png;base64,' + "iVBORw0KGgo" * 20 + '"}, {"ima'
    stored = redacted({"contents": cut, "note": "see data: page 3, or data:text"})
    assert "iVBORw0KGgo" not in stored["contents"]
    assert stored["contents"].startswith('[{"image": "data:image/png;sha256=')
    assert stored["contents"].endswith('"}, {"ima')
    assert stored["note"] == "see data: page 3, or data:text"
