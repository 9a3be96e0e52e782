"""The OpenAI-compatible chat protocol: requests in, replies and chunks out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from pipeline.offline import error_replies, part_reader
from pipeline.offline.chat import Conversation, Counted, Said, Turn, pieces
from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import chat_limits
from pipeline.offline.media import Source
from pipeline.offline.native import model_of
from pipeline.offline.part_reader import Part, PartReader, check_kinds, reader

ReadPart = Callable[[object, PartReader], Part]

_LONGEST_NAME = 32
_ROLES = ("system", "developer", "user", "assistant")


def read(body: Mapping[str, Any], source: Source, *, created: int, dashscope: bool = False) -> Conversation:
    """Checks a request body and loads its media. Blocking. Raises Refusal. `created` is kept for the reply."""
    model = model_of(body)
    if dashscope and model.startswith("llama3.2"):
        raise Refusal("unsupported-model", f"Unsupported model {model} for OpenAI compatibility mode.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal("input-empty")
    error_replies.sampling(body, seeds=2**31 - 1)
    if dashscope:
        error_replies.need_stream(model, stream=bool(body.get("stream")))
    most = error_replies.integer(body, "max_completion_tokens", 1, None) or error_replies.integer(
        body, "max_tokens", 1, None
    )
    error_replies.answers_in_text(body)
    media = reader(model, chat_limits(model), source)
    turns = tuple(turn(message, media) for message in messages)
    if messages[-1]["role"] != "user":
        raise Refusal("last-message")
    error_replies.json_wish(body, " ".join(one.text for one in turns))
    return Conversation(model=model, turns=turns, parameters={**body, "created": created}, most=most)


def turn(message: object, media: PartReader, read: ReadPart | None = None) -> Turn:
    """Returns one message, with its parts read by `read`. Raises Refusal.

    `content` is a string or a list of parts. Only an assistant's turn may have null.
    """
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise Refusal("role")
    role = "system" if message["role"] == "developer" else message["role"]
    content = message.get("content")
    read = read or read_part
    if isinstance(content, str):
        return Turn(role=role, parts=(content,))
    if content is None and role == "assistant":
        return Turn(role=role)
    if not isinstance(content, list) or not content:
        raise Refusal("messages")
    parts = tuple(read(part, media) for part in content)
    check_kinds(parts, media.limits)
    return Turn(role=role, parts=parts)


def read_part(part: object, media: PartReader) -> Part:
    """Reads one part by its `type`. Raises Refusal.

    Options stand beside `image_url` and `video_url`; `detail` stands inside `image_url`.
    """
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or not isinstance(kind, str):
        raise Refusal("messages", "Content part of type given is not supported by this model.")
    if kind == "text" and isinstance(part.get("text"), str):
        part_reader.marks(part)
        return str(part["text"])
    holder = part.get(kind)
    if kind == "image_url":
        if isinstance(holder, dict):
            part_reader.detail(holder)
        return media.image(_address(holder), part)
    if kind == "video":
        return media.video(holder if isinstance(holder, list) else None, part)
    if kind == "video_url":
        return media.video(_address(holder), part)
    if kind in ("input_audio", "audio_url"):
        return media.audio(_address(holder), part)
    raise Refusal("messages", f"Content part of type {kind[:_LONGEST_NAME]} is not supported by this model.")


def _address(holder: object) -> object:
    """Returns `url` of a picture, a video or vLLM's `audio_url`, or `data` of OpenAI's `input_audio`."""
    return holder.get("url", holder.get("data")) if isinstance(holder, dict) else holder


def usage(counted: Counted) -> dict[str, Any]:
    found: dict[str, Any] = {
        "prompt_tokens": counted.taken,
        "completion_tokens": counted.given,
        "total_tokens": counted.taken + counted.given,
    }
    details = {
        "image_tokens": counted.images,
        "video_tokens": counted.frames,
        "audio_tokens": counted.sounds,
    }
    shown = {name: value for name, value in details.items() if value}
    if shown:
        rest = counted.taken - sum(shown.values())
        found["prompt_tokens_details"] = {"text_tokens": rest, **shown, "cached_tokens": 0}
    return found


def reply(said: Said, conversation: Conversation, identity: str) -> dict[str, Any]:
    message = {"content": said.text, "role": "assistant"}
    return {
        "choices": [{"message": message, "finish_reason": said.finish, "index": 0, "logprobs": None}],
        "object": "chat.completion",
        "usage": usage(said.counted),
        "created": conversation.parameters["created"],
        "system_fingerprint": None,
        "model": conversation.model,
        "id": identity,
    }


def chunks(said: Said, conversation: Conversation, identity: str) -> Iterator[bytes]:
    """Yields the chunks of a stream: the role, the text, the usage if the caller asked for it, then `[DONE]`.

    The last piece of the text comes with the finish reason.
    """
    base = {
        "object": "chat.completion.chunk",
        "usage": None,
        "created": conversation.parameters["created"],
        "system_fingerprint": None,
        "model": conversation.model,
        "id": identity,
    }

    def chunk(delta: dict[str, Any], ending: str | None) -> bytes:
        choice = {"delta": delta, "index": 0, "logprobs": None, "finish_reason": ending}
        return event({"choices": [choice], **base})

    yield chunk({"content": "", "role": "assistant"}, None)
    parts = pieces(said.text)
    for part in parts[:-1]:
        yield chunk({"content": part}, None)
    yield chunk({"content": parts[-1]}, said.finish)
    options = conversation.parameters.get("stream_options")
    if isinstance(options, Mapping) and options.get("include_usage"):
        yield event({"choices": [], **base, "usage": usage(said.counted)})
    yield b"data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> bytes:
    """Returns one event, with a space after the colon, as these services write events."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
