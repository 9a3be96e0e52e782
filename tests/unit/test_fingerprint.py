"""The recipe is a promise: a changed digest here means that every answered row of every user would be bought again."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.job.fingerprint import Question, fingerprint

PLAIN: dict[str, Any] = {
    "task": "caption",
    "provider": "dashscope",
    "model": "qwen3-vl-plus",
    "media": [["image", "a" * 64]],
}


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (PLAIN, "2c83c3fe36bf2f87e51277fc63a16623"),
        ({**PLAIN, "prompt": "What is this?", "system": "Be short."}, "40b31c1c62be90ca2e03b8a60ad75420"),
        ({**PLAIN, "parameters": {"temperature": 0.1, "max_tokens": 300}}, "d995452342c563253065c2311ea381e9"),
        (
            {
                "task": "embed",
                "provider": "offline",
                "model": "multimodal-embedding-one-peace-v1",
                "media": [["text", "你好"], ["audio", "https://example.com/cow.flac"]],
                "factors": [1.0, 2.5],
                "parameters": {"auto_truncation": True},
            },
            "7086ef992913c54b127090a6f7ad5119",
        ),
        (
            {
                "task": "ask",
                "provider": "qianfan",
                "model": "ernie-4.5-8k-preview",
                "messages": [["user", "hello", ["b" * 64]], ["assistant", "hi", []]],
                "prompt": "and now?",
                "media": [["frame", "c" * 64], ["frame", "d" * 64]],
                "fps": 2.0,
                "resize": "off",
            },
            "d7d816dea2c6725c81bf804a884705e0",
        ),
    ],
)
def test_the_recipe_is_golden(question, expected):
    assert fingerprint(Question(**question)) == expected


def test_parameters_have_no_order():
    one = fingerprint(Question(**PLAIN, parameters={"a": 1, "b": {"c": 2, "d": 3}}))
    other = fingerprint(Question(**PLAIN, parameters={"b": {"d": 3, "c": 2}, "a": 1}))
    assert one == other


@pytest.mark.parametrize(
    "change",
    [
        {"task": "ocr"},
        {"provider": "offline"},
        {"model": "qwen3-vl-flash"},
        {"system": "x"},
        {"prompt": "x"},
        {"messages": [["user", "x", []]]},
        {"media": [["image", "b" * 64]]},
        {"media": [["frame", "a" * 64]]},
        {"fps": 1.0},
        {"factors": [2.0]},
        {"parameters": {"seed": 1}},
        {"resize": "off"},
    ],
)
def test_everything_that_changes_the_answer_changes_the_fingerprint(change):
    assert fingerprint(Question(**{**PLAIN, **change})) != fingerprint(Question(**PLAIN))


def test_pictures_have_an_order():
    pictures: list[list[str]] = [["image", "a" * 64], ["image", "b" * 64]]
    one, other = ({**PLAIN, "media": media} for media in (pictures, pictures[::-1]))
    assert fingerprint(Question(**one)) != fingerprint(Question(**other))
