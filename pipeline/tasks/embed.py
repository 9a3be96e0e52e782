"""embed: pictures, texts, sounds and videos of one row in, one vector out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pipeline.errors import refusal
from pipeline.job.schema import JobFile
from pipeline.tasks.conversation import parameters, part_of
from pipeline.types import (
    Audio,
    EmbedItem,
    Frames,
    Image,
    Item,
    Part,
    Reply,
    Request,
    Row,
    TaskColumn,
    TaskFacts,
    Text,
    Video,
    VideoFile,
)

FACTS = TaskFacts(
    columns=(
        TaskColumn("embedding", "vector", "The vector: as many floats as the model gives."),
        TaskColumn("modalities", "list of text", "What the vector was made of, as `image`."),
    ),
    capability="embed",
    takes_audio=True,
    needs_image=False,
)


def ask(row: Row, job: JobFile) -> Request:
    """Returns one request for the whole row. The service fuses its images, sounds, videos, text and contents into one
    vector.

    Raises Fault (Local.NoInput, Local.NotForEmbed, Local.Factor) for a row that cannot be embedded.
    """
    if row.prompt is not None or row.prompts or row.system is not None or row.messages or _has_frames(row):
        raise refusal("NotForEmbed", "`prompt`, `prompts`, `system`, `messages` and `frames` are not for embed")
    items = tuple(_items(row))
    if not items:
        fields = "`image`, `text`, `audio`, `video` or `contents`"
        raise refusal("NoInput", f"the row has nothing to embed: give it {fields}")
    return Request(task="embed", model=job.provider.model, items=items, parameters=parameters(row, job))


def columns(reply: Reply, request: Request) -> dict[str, Any]:
    """Returns the columns `embedding`, float32 little-endian bytes, and `modalities`, the kinds of input in order, each
    kind once."""
    kinds = (_MODALITIES[type(item.part)] for item in request.items)
    return {"embedding": reply.embedding, "modalities": list(dict.fromkeys(kinds))}


_MODALITIES: dict[type[Part], str] = {Text: "text", Image: "image", Audio: "audio", VideoFile: "video"}


def _has_frames(row: Row) -> bool:
    return row.frames is not None or any(isinstance(item.content, Frames) for item in row.contents)


def _items(row: Row) -> Iterator[EmbedItem]:
    for media in (*row.images, *row.audio):
        yield EmbedItem(part=_item_part(Item(content=media)))
    for video in row.videos:
        yield EmbedItem(part=_item_part(video))
    if row.text is not None:
        yield EmbedItem(part=Text(row.text))
    for item in row.contents:
        yield EmbedItem(part=_item_part(item), factor=_factor(item))


def _item_part(item: Item) -> Text | Image | Audio | VideoFile:
    part = part_of(item)
    assert not isinstance(part, Video)
    return part


def _factor(item: Item) -> float | None:
    if item.factor is not None and not (item.factor > 0 and math.isfinite(item.factor)):
        raise refusal("Factor", f"factor is {item.factor}, expected a number above 0")
    return item.factor
