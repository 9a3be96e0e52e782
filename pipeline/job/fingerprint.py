"""The fingerprint recipe: which parts of a row and a job change its answer, and how they are hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

RECIPE = 1
"""The number of the recipe, which is raised only when the hashed text of the same question changes. Then every answered
row would look changed."""

_encoder = msgspec.json.Encoder(order="deterministic")


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that changes the answer. Defaults are left out of the hashed text.

    provider: the provider's name, or `offline`. system, prompt: the rendered texts, None for the built-in default (so
    that a new default never makes answered rows new). media: `[kind, key]` in order. The kind is `image`, `frame`,
    `audio` or `text`. The key is the SHA-256 (hex) of the original bytes, else the URL without its signature, else the
    text. factors: one factor for each item of `contents`. messages: `[role, text, [media keys]]`; if a turn has other
    parts than pictures and one text, the turn's parts follow. contents, videos: parts as `[kind, key, options]`, frames
    as `["frames", [keys], options]`. contents is used only where media and factors cannot express the parts. prompts:
    the prompts of a conversation. frames, frames_by: how frames are taken from video files, if there are video files.
    dpi: how the pages of PDF files are drawn, if there are PDF files and the job sets dpi. max_tokens: the most tokens
    of a picture, if the job sets it and pictures are loaded here. answer: the JSON Schema of a typed answer. vectors:
    layout and maker of the embedded service's vectors, for tasks that embed with it.
    """

    task: str
    provider: str
    model: str
    system: str | None = None
    messages: Sequence[Sequence[Any]] = ()
    prompt: str | None = None
    media: Sequence[Sequence[str]] = ()
    fps: float | None = None
    factors: Sequence[float | None] = ()
    parameters: Mapping[str, Any] = {}
    resize: str = "fit"
    contents: Sequence[Sequence[Any]] = ()
    videos: Sequence[Sequence[Any]] = ()
    prompts: Sequence[str] = ()
    frames: int | None = None
    frames_by: str = "time"
    dpi: int | None = None
    max_tokens: int | None = None
    answer: Mapping[str, Any] | None = None
    vectors: str | None = None


def fingerprint(question: Question) -> str:
    """Returns 32 hexadecimal digits: the first half of the SHA-256 of `encode(question)`."""
    return digest(encode(question))


def encode(question: Question) -> bytes:
    """Returns the hashed text: the recipe's number, then the question as JSON with sorted keys."""
    return b"%d:" % RECIPE + _encoder.encode(question)


def digest(text: bytes) -> str:
    """Returns the first 32 hexadecimal digits of the SHA-256 of `text`."""
    return hashlib.sha256(text).hexdigest()[:32]
