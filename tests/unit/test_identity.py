"""From a manifest row to its fingerprint: golden, because a change would make every answered row look changed."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from pipeline.engines.identity import Identity, has_local_files
from pipeline.job.schema import Job
from pipeline.manifest import from_table
from pipeline.manifest.row_media import listed

URL = "https://example.com/cat.jpg"


def job(task: str = "caption", **tables) -> Job:
    base = {"task": task, "manifest": "m", "output": "o", "provider": {"name": "dashscope", "model": "qwen3-vl-plus"}}
    return msgspec.convert({**base, **tables}, Job)


def early(row: dict, described: Job | None = None, *, offline: bool = False) -> str | None:
    described = described or job()
    (read,) = from_table([row], described, "/").rows()
    return Identity(described, offline=offline).early(read)


GOLDEN = [
    ({"id": "a", "image": URL}, {}, "40272669da6e8c694f22ec66fca80e6d"),
    (
        {"id": "a", "image": URL, "x": "cat"},
        {"prompt": {"text": "A {x}?", "system": "Be short."}},
        "127d02ce9f5a2e11a30e25f26721fb03",
    ),
    (
        {"id": "a", "images": [URL, URL + "2"], "prompt": "Which?", "parameters": {"seed": 1}},
        {},
        "e9822e1ba1d5729bc46700061546c7ef",
    ),
    (
        {"id": "a", "frames": [f"{URL}{n}" for n in range(6)], "fps": 2, "max_frames": 3},
        {},
        "3039e8ad4546b123c20d79d2051b0c36",
    ),
    (
        {"id": "a", "prompt": "And now?", "messages": [{"role": "user", "text": "Hi", "image": URL}]},
        {"task": "ask"},
        "bd318a96f721fd682a55e2dfcd2b6945",
    ),
    (
        {"id": "a", "text": "你好", "contents": [{"image": URL, "factor": 2}, {"text": "x"}]},
        {"task": "embed", "media": {"resize": "off"}},
        "9b719d24592c80d70619c86ed87de6c9",
    ),
]


@pytest.mark.parametrize(("row", "tables", "expected"), GOLDEN)
def test_the_fingerprint_of_a_row_is_golden(row, tables, expected):
    assert early(row, job(**{"task": "caption", **tables})) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"image": URL}, {"image": f"{URL}?Expires=1&OSSAccessKeyId=k&Signature=s"}),
        ({"image": URL, "price": 1}, {"image": URL, "price": 2}),
        ({"frames": [URL] * 4, "fps": 2}, {"frames": [URL] * 4, "fps": 2.0}),
    ],
)
def test_what_does_not_change_the_answer_does_not_change_the_fingerprint(one, other):
    assert early({"id": "a", **one}) == early({"id": "b", **other})


def test_signatures_limits_and_endpoints_do_not_count_and_offline_does():
    row = {"id": "a", "image": URL}
    provider = {"name": "dashscope", "model": "qwen3-vl-plus"}
    elsewhere = job(
        provider={**provider, "base_url": "https://x/api/v1", "workspace": "ws", "stream": True, "protocol": "openai"},
        limits={"rpm": 3},
        retry={"attempts": 1},
    )
    assert early(row) == early(row, elsewhere)
    assert early(row) != early(row, offline=True)


def test_a_column_in_the_prompt_counts_by_its_value():
    described = job(prompt={"text": "A {x}?"})
    assert early({"image": URL, "x": "cat"}, described) != early({"image": URL, "x": "dog"}, described)


def test_local_files_wait_for_their_content(tmp_path: Path):
    picture = tmp_path / "a.bin"
    picture.write_bytes(b"one")
    (row,) = from_table([{"id": "a", "image": str(picture)}], job(), "/").rows()
    identity = Identity(job(), offline=False)
    assert has_local_files(row)
    assert identity.early(row) is None
    assert identity.fingerprint(row, lambda media: "0" * 64) == "1ee39a5d06150f79d88d0a39e96d3948"
    stamped = identity.stamp(row)
    assert stamped == identity.stamp(row)
    picture.write_bytes(b"other")
    assert identity.stamp(row) != stamped
    picture.unlink()
    assert identity.stamp(row) is None


def test_a_stamp_stands_for_the_question_too(tmp_path: Path):
    picture = tmp_path / "a.bin"
    picture.write_bytes(b"one")
    (row,) = from_table([{"id": "a", "image": str(picture)}], job(), "/").rows()
    one, other = Identity(job(), offline=False), Identity(job(prompt={"text": "Hm?"}), offline=False)
    assert one.stamp(row) != other.stamp(row)


def test_frames_are_sampled_before_they_count():
    (row,) = from_table([{"frames": [f"{URL}{n}" for n in range(9)], "max_frames": 3}], job(), "/").rows()
    pictures = listed(row).frames.pictures
    assert [media.url[-1] for media in pictures] == ["0", "4", "8"]


def test_a_row_that_asks_nothing_keeps_its_identity_while_it_is_written_the_same():
    broken = {"id": "a", "image": 7}
    assert early(broken) == early(json.loads(json.dumps(broken)))
    assert early(broken) != early({"id": "a", "image": 8})
