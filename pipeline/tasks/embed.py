"""embed: pictures, texts and sounds of one row in, one vector out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pipeline.errors import refusal
from pipeline.job.schema import Job
from pipeline.tasks.turns import parameters
from pipeline.types import Audio, EmbedItem, Image, Item, Media, Reply, Request, Row, Text


def ask(row: Row, job: Job) -> Request:
    """One request for the whole row: its images, sounds, text and contents, fused by the service into one vector.

    Raises Fault (Local.NoInput, Local.NotForEmbed, Local.Factor) for a row that cannot be embedded.
    """
    if row.prompt is not None or row.system is not None or row.messages or row.frames is not None:
        raise refusal("NotForEmbed", "`prompt`, `system`, `messages` and `frames` are not for embed")
    items = tuple(_items(row))
    if not items:
        raise refusal("NoInput", "the row has nothing to embed: give it `image`, `text`, `audio` or `contents`")
    return Request(task="embed", model=job.provider.model, items=items, parameters=parameters(row, job))


def columns(reply: Reply, request: Request) -> dict[str, Any]:
    """`embedding`: float32 little-endian bytes. `modalities`: what was fused, each kind once, in order."""
    kinds = ("image" if isinstance(item.part, Image) else "audio" if isinstance(item.part, Audio) else "text"
             for item in request.items)  # fmt: skip
    return {"embedding": reply.embedding, "modalities": list(dict.fromkeys(kinds))}


def _items(row: Row) -> Iterator[EmbedItem]:
    for media in (*row.images, *row.audio):
        yield EmbedItem(part=_part(media))
    if row.text is not None:
        yield EmbedItem(part=Text(row.text))
    for item in row.contents:
        yield EmbedItem(part=_part(item.content), factor=_factor(item))


def _part(content: Media | str) -> Text | Image | Audio:
    if isinstance(content, str):
        return Text(content)
    return Audio(content) if content.kind == "audio" else Image(content)


def _factor(item: Item) -> float | None:
    if item.factor is not None and not (item.factor > 0 and math.isfinite(item.factor)):
        raise refusal("Factor", f"factor is {item.factor}, expected a number above 0")
    return item.factor
