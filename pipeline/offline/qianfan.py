"""Baidu Qianfan's V2 chat protocol: its own bounds, `flag`, `web_search` and `as-` identities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

import msgspec

from pipeline.offline import compatible, error_replies, part_reader, tokens
from pipeline.offline.chat import Conversation, Counted, Said, pieces
from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import QIANFAN, QIANFAN_URL, QIANFAN_WINDOW_TOKENS, Limits, qianfan_video
from pipeline.offline.media import Image, Source, image_of
from pipeline.offline.native import model_of
from pipeline.offline.part_reader import Part, PartReader, reader
from pipeline.offline.tokens import Pixels

_URL_BYTES = 1024


def read(body: Mapping[str, Any], source: Source, *, created: int) -> Conversation:
    """Checks a request body and loads its media. Blocking. Raises Refusal with the error that the service gives."""
    model = model_of(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal("input-empty")
    error_replies.sampling(body)
    most = [error_replies.integer(body, name, 2, 8192) for name in ("max_completion_tokens", "max_tokens")]
    search = body.get("web_search")
    if isinstance(search, Mapping) and search.get("enable") and not model.startswith("ernie"):
        raise Refusal("parameter", "web_search is not supported by this model")
    limits = msgspec.structs.replace(QIANFAN, video=qianfan_video(model))
    media = reader(model, limits, source)
    turns = tuple(compatible.turn(message, media, _part) for message in messages)
    last = turns[-1]
    if last.role != "user" or not (last.text.strip() or last.has_media):
        raise Refusal("last-message")
    found = Conversation(
        model=model,
        turns=turns,
        parameters={**body, "created": created},
        most=most[0] or most[1],
    )
    if model.startswith("ernie-4.5-8k") and _taken(found) > QIANFAN_WINDOW_TOKENS:
        raise Refusal("tokens")
    return found


def _part(part: object, media: PartReader) -> Part:
    """Reads one part like the compatible protocol, with two differences. Raises Refusal.

    `fps` stands inside `video_url`, and the bounds of a picture depend on whether it comes by URL or as base64.
    """
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in ("image_url", "video_url"):
        return compatible.read_part(part, media)
    holder = part.get(kind)
    address = holder.get("url") if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or not isinstance(address, str):
        raise Refusal("messages", f"{kind}.url is required")
    if kind == "image_url":
        return _image(address, holder, media.source)
    if media.limits.video is None:
        raise Refusal("parameter", "video_url is not supported by this model")
    return media.video_file(address, media.limits.video, holder, Pixels())


def _image(address: str, holder: Mapping[str, Any], source: Source) -> Image:
    part_reader.detail(holder)
    limits = QIANFAN if address.startswith("data:") else _url_limits(address)
    try:
        return image_of(address, limits, source)
    except Refusal as refusal:
        raise refusal if refusal.kind != "parameter" else Refusal("picture", refusal.message) from refusal


def _url_limits(address: str) -> Limits:
    if address.split(":", 1)[0] not in ("http", "https") or len(address.encode()) > _URL_BYTES:
        raise Refusal("download", "image_url.url should be a public URL of at most 1024 bytes or base64 data")
    return QIANFAN_URL


def _taken(conversation: Conversation) -> int:
    """Returns the input tokens by the only published sample: about 1500 a picture.

    Two frames of a video count as one picture.
    """
    images = sum(len(turn.images) for turn in conversation.turns)
    pairs = sum(ceil(len(video.frames) / 2) for turn in conversation.turns for video in turn.videos)
    words = sum(tokens.text_tokens(turn.text) + 3 for turn in conversation.turns)
    return (images + pairs) * tokens.qianfan_image_tokens() + words


def count(said: Said, conversation: Conversation) -> Counted:
    """Returns an estimate of the tokens, because no rule is published."""
    return Counted(taken=_taken(conversation), given=said.counted.given)


def _usage(counted: Counted) -> dict[str, int]:
    total = counted.taken + counted.given
    return {"prompt_tokens": counted.taken, "completion_tokens": counted.given, "total_tokens": total}


def reply(said: Said, conversation: Conversation, identity: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": said.text}
    found: dict[str, Any] = {
        "id": identity,
        "object": "chat.completion",
        "created": conversation.parameters["created"],
        "model": conversation.model,
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish, "flag": 0}],
        "usage": _usage(count(said, conversation)),
    }
    search = conversation.parameters.get("web_search")
    if isinstance(search, Mapping) and search.get("enable") and search.get("enable_trace"):
        found["search_results"] = []
    return found


def chunks(said: Said, conversation: Conversation, identity: str) -> Iterator[bytes]:
    """Yields chunks with `flag`, then `[DONE]`.

    The first chunk has the role. The last chunk has `finish_reason`, and the usage beside its choices.
    """
    base = {
        "id": identity,
        "object": "chat.completion.chunk",
        "created": conversation.parameters["created"],
        "model": conversation.model,
    }
    parts = pieces(said.text)
    for number, part in enumerate(parts):
        delta = {"role": "assistant", "content": part} if number == 0 else {"content": part}
        choice: dict[str, Any] = {"index": 0, "delta": delta, "flag": 0}
        last = number == len(parts) - 1
        if last:
            choice["finish_reason"] = said.finish
        extra = {"usage": _usage(count(said, conversation))} if last else {}
        yield compatible.event({**base, "choices": [choice], **extra})
    yield b"data: [DONE]\n\n"
