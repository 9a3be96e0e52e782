"""What comes back: a reply or a fault, the attempts, and how a call ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from pipeline.errors import Fault


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the service counted them; None is not known, never 0. `media_tokens` are contained in `input_tokens`.

    `input_units` is the weighted usage of an embedding service that bills no tokens (ONE-PEACE's `total_usage`).
    `audio_tokens` are the part of `media_tokens` that is sound. `cached_tokens` are the part of `input_tokens` that was
    read from the service's cache, `written_tokens` the part that was written to it.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    media_tokens: int | None = None
    audio_tokens: int | None = None
    cached_tokens: int | None = None
    written_tokens: int | None = None
    input_units: int | None = None


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of read text; `polygon` is four (x, y) points in pixels of the picture that was sent. `page`: of a
    document, counted from 1."""

    text: str
    score: float | None = None
    polygon: tuple[tuple[float, float], ...] | None = None
    page: int | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What was decoded from a whole answer.

    `embedding` is little-endian float32, 4 bytes a dimension. `extra` is whatever else the reply carried and a user
    may want (search results, flag, extracted fields, reasoning), JSON-able, without picture data.
    """

    text: str | None = None
    blocks: tuple[Block, ...] | None = None
    embedding: bytes | None = None
    usage: Usage = Usage()
    finish_reason: str | None = None
    request_id: str | None = None
    model: str | None = None
    extra: Mapping[str, Any] = {}


class Reader(Protocol):
    """Decodes one HTTP response as it arrives. `feed` never raises; `end` gives the reply or raises Fault.

    `feed` is true for a chunk after which the answer is whole, though the body may go on: its end need not be waited
    for long. `complete` is False when the connection was cut before the body's end.
    """

    def feed(self, chunk: bytes) -> bool | None: ...

    def end(self, *, complete: bool = True) -> Reply: ...


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One trip on the wire, counted from 1. `started_at`: µs since the epoch, UTC. `cost`: None = not known."""

    attempt: int
    started_at: int
    latency_ms: int
    http_status: int | None = None
    fault: str | None = None
    code: str | None = None
    request_id: str | None = None
    usage: Usage = Usage()
    cost: float | None = None
    currency: str | None = None


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A call that ended in a reply."""

    reply: Reply
    attempts: tuple[Attempt, ...]


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A call that ended in a fault. `attempts` is empty when nothing was sent."""

    fault: Fault
    attempts: tuple[Attempt, ...] = ()


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was not sent or not finished because the run stopped. `attempts` already made are kept."""

    attempts: tuple[Attempt, ...] = ()


Ending = Answered | Failed | Left
