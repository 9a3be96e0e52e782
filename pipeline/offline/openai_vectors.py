"""The OpenAI-compatible `/embeddings`. All paths take texts; `/v1` also takes vLLM's message of pictures and sounds."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.offline import tokens
from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import Limits, embedding_limits
from pipeline.offline.media import Source, image_of
from pipeline.offline.models import embedding, layout
from pipeline.offline.native import model_of
from pipeline.offline.part_reader import reader
from pipeline.offline.vectors import Item, piece, video_item

_ENCODINGS = (None, "float", "base64")


def read(
    body: Mapping[str, Any],
    source: Source,
    *,
    messages: bool = False,
    single: bool = True,
    encodings: tuple[str | None, ...] = _ENCODINGS,
) -> list[tuple[Item, ...]]:
    """Returns the items of each vector that the request asks for. Blocking. Raises Refusal.

    messages: a conversation may stand in place of `input` and becomes one vector, as in vLLM (its
    EmbeddingChatRequest); the hosted services take texts only. single: `input` may be one text outside a list.
    """
    model = model_of(body)
    if body.get("dimensions") not in (None, layout.DIMENSION):
        raise Refusal("parameter", f"The embedded service only has vectors of dimension {layout.DIMENSION}.")
    if body.get("encoding_format") not in encodings:
        raise Refusal("parameter", f"encoding_format should be {' or '.join(filter(None, encodings))}")
    if messages and body.get("input") is None and body.get("messages") is not None:
        return [_conversation(body["messages"], embedding_limits(model), source)]
    given = body.get("input")
    found = [given] if single and isinstance(given, str) else given
    if not isinstance(found, list) or not found or not all(isinstance(one, str) and one.strip() for one in found):
        raise Refusal("input-empty", "input should be a text or a list of texts, none of them empty")
    return [(_text(one),) for one in found]


def _conversation(messages: object, limits: Limits, source: Source) -> tuple[Item, ...]:
    """Returns the items of the messages, in order. A system message is an instruction and adds no item."""
    if not isinstance(messages, list):
        raise Refusal("messages")
    found: list[Item] = []
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("system", "user", "assistant"):
            raise Refusal("role")
        content = message.get("content")
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if not isinstance(parts, list):
            raise Refusal("messages")
        items = [_part(part, limits, source) for part in parts]
        found.extend(items if message["role"] != "system" else [])
    if not found:
        raise Refusal("input-empty")
    return tuple(found)


def _part(part: object, limits: Limits, source: Source) -> Item:
    kind = part.get("type") if isinstance(part, dict) else None
    value = part.get(kind) if isinstance(part, dict) and isinstance(kind, str) else None
    if kind == "text" and isinstance(value, str) and value.strip():
        return _text(value)
    if kind == "image_url" and isinstance(value, dict):
        image = image_of(value.get("url"), limits, source)
        return Item(kind="image", content=image.data, factor=1.0, tokens=0)
    if kind in ("audio_url", "input_audio") and isinstance(value, dict):
        hearing = reader("", msgspec.structs.replace(limits, audio=True), source)
        audio = hearing.audio(value.get("url" if kind == "audio_url" else "data"), {})
        return Item(kind="audio", content=audio.data, factor=1.0, tokens=0)
    if kind == "video_url" and isinstance(value, dict):
        return video_item(value.get("url"), value, 1.0, reader("", limits, source))
    raise Refusal("messages")


def _text(text: str) -> Item:
    return Item(kind="text", content=text, factor=1.0, tokens=tokens.text_tokens(text))


def reply(body: Mapping[str, Any], wanted: list[tuple[Item, ...]], identity: str) -> dict[str, Any]:
    """Returns the vectors as numbers, or as base64 of little-endian float32 if the request asks for base64.

    `layout` and `maker` are this service's own fields: they say which vectors are comparable.
    Blocking: runs the models. Raises image.Unreadable, image.TooLarge, audio.NotAudio.
    """
    packed = body.get("encoding_format") == "base64"
    data = []
    for index, items in enumerate(wanted):
        vector = embedding.fuse([piece(item, None) for item in items])
        shown: Any = b64encode(vector.astype("<f4").tobytes()).decode() if packed else vector.tolist()
        data.append({"object": "embedding", "index": index, "embedding": shown})
    count = sum(item.tokens for items in wanted for item in items)
    usage = {"prompt_tokens": count, "total_tokens": count}
    found = {"object": "list", "data": data, "model": body["model"], "usage": usage, "id": identity}
    return found | layout.described()
