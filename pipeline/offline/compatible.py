"""The OpenAI-compatible chat protocol: requests in, replies and chunks out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from pipeline.offline import checks
from pipeline.offline.conversation import Conversation, Counted, Said, Turn, pieces
from pipeline.offline.limits import Limits, chat_limits
from pipeline.offline.media import Picture, Source, picture_of
from pipeline.offline.native import frames_fps, frames_of, model_of
from pipeline.offline.refusals import Refusal

_LONGEST_NAME = 32
_ROLES = ("system", "developer", "user", "assistant")


def read(body: Mapping[str, Any], source: Source, *, created: int, dashscope: bool = False) -> Conversation:
    """Checks a request body and loads its pictures. Blocking. Raises Refusal. `created` is kept for the reply."""
    model = model_of(body)
    if dashscope and model.startswith("llama3.2"):
        raise Refusal("unsupported-model", f"Unsupported model {model} for OpenAI compatibility mode.")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal("input-empty")
    checks.sampling(body, seeds=2**31 - 1)
    checks.need_stream(model, stream=bool(body.get("stream")))
    most = checks.whole(body, "max_completion_tokens", 1, None) or checks.whole(body, "max_tokens", 1, None)
    limits = chat_limits(model)
    turns = tuple(turn(message, limits, source) for message in messages)
    if messages[-1]["role"] != "user":
        raise Refusal("last-message")
    checks.json_wish(body, " ".join(one.text for one in turns))
    return Conversation(model=model, turns=turns, parameters={**body, "created": created}, most=most)


def turn(message: object, limits: Limits, source: Source) -> Turn:
    """One message; `content` is a string or a list of parts, null only in an assistant's turn. Raises Refusal."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise Refusal("role")
    role = "system" if message["role"] == "developer" else message["role"]
    content = message.get("content")
    if isinstance(content, str):
        return Turn(role=role, text=content)
    if content is None and role == "assistant":
        return Turn(role=role)
    if not isinstance(content, list) or not content:
        raise Refusal("messages")
    texts: list[str] = []
    pictures: list[Picture] = []
    frames: tuple[Picture, ...] = ()
    fps: float | None = None
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif kind == "image_url":
            pictures.append(picture_of(_address(part, "image_url"), limits, source))
        elif kind == "video":
            frames, fps = frames_of(part.get("video"), limits, source), frames_fps(part)
        elif kind == "video_url":
            frames = frames_of(_address(part, "video_url"), limits, source)
        else:
            named = kind if isinstance(kind, str) and len(kind) < _LONGEST_NAME else "given"
            raise Refusal("messages", f"Content part of type {named} is not supported by this model.")
    return Turn(role=role, text="\n".join(texts), pictures=tuple(pictures), frames=frames, fps=fps)


def _address(part: Mapping[str, Any], name: str) -> object:
    holder = part.get(name)
    return holder.get("url") if isinstance(holder, dict) else holder


def usage(counted: Counted) -> dict[str, Any]:
    found: dict[str, Any] = {
        "prompt_tokens": counted.taken,
        "completion_tokens": counted.given,
        "total_tokens": counted.taken + counted.given,
    }
    details = {"image_tokens": counted.pictures, "video_tokens": counted.frames}
    shown = {name: value for name, value in details.items() if value}
    if shown:
        rest = counted.taken - counted.pictures - counted.frames
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
    """Role first, then text; the last text comes with `stop`; then the usage chunk where asked, then `[DONE]`."""
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
    """One event, with a space after the colon as these services write it."""
    return b"data: " + msgspec.json.encode(data) + b"\n\n"
