"""The captured exchanges of the official clients, and the way from a captured body back to what was asked."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from pipeline.types import (
    Audio,
    EmbedItem,
    Endpoint,
    Image,
    Loaded,
    MediaKind,
    Part,
    Request,
    Secret,
    Text,
    Turn,
    Video,
    VideoFile,
)

FOLDER = Path(__file__).parent.parent / "wire" / "captures"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
REQUIRED_HEADERS = ("x-dashscope-sse", "x-dashscope-workspace", "x-dashscope-ossresourceresolve", "appid")
PART_KEYS = ("image", "text", "audio", "video", "type", "image_url", "video_url", "factor")


def capture(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def exchanges(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = capture(name)["exchanges"]
    return found


def provider_of(path: str) -> tuple[str, str]:
    """Provider and protocol of a captured path."""
    if path.startswith("/api/v1"):
        return "dashscope", "native"
    if path.startswith("/compatible-mode/v1"):
        return "dashscope", "openai"
    return "qianfan", "openai"


def endpoint_of(captured: dict[str, Any]) -> Endpoint:
    provider, protocol = provider_of(captured["path"])
    base = re.match(r"/(api/v1|compatible-mode/v1|v2)", captured["path"])
    assert base is not None
    headers = header_table(captured["headers"])
    workspace = headers.get("x-dashscope-workspace") or headers.get("appid")
    return Endpoint(
        provider=provider,
        base_url=f"https://service.example{base[0]}",
        key=Secret("<redacted>"),
        protocol=protocol,
        workspace=workspace,
    )


def header_table(headers: list[list[str]] | tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def asked(captured: dict[str, Any]) -> Request:
    """The request, independent of the wire, that a captured body stands for."""
    body = captured["body_json"]
    native = "input" in body
    stream = header_table(captured["headers"]).get("x-dashscope-sse") == "enable" or body.get("stream") is True
    parameters = dict(body.get("parameters") or {}) if native else _chat_parameters(body)
    if native and "contents" in body["input"]:
        items = tuple(_item(entry) for entry in body["input"]["contents"])
        return Request(task="embed", model=body["model"], items=items, parameters=parameters)
    messages = body["input"]["messages"] if native else body["messages"]
    turns = tuple(Turn(role=m["role"], parts=_parts(m["content"])) for m in messages)
    return Request(task="ask", model=body["model"], turns=turns, parameters=parameters, stream=stream)


def _chat_parameters(body: dict[str, Any]) -> dict[str, Any]:
    ours = ("model", "messages", "stream", "stream_options", "extra_parameters")
    return {key: value for key, value in body.items() if key not in ours}


def _parts(content: Any) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_part(entry) for entry in content)


def _part(entry: dict[str, Any]) -> Part:
    beside = {key: value for key, value in entry.items() if key not in PART_KEYS}
    if isinstance(entry.get("video"), list):
        fps = beside.pop("fps", None)
        return Video(frames=tuple(_media(url) for url in entry["video"]), fps=fps, options=beside)
    if "video" in entry or "video_url" in entry:
        return VideoFile(_media(entry.get("video") or entry["video_url"]["url"], "video"), beside)
    if "image_url" in entry:
        inner = {key: value for key, value in entry["image_url"].items() if key != "url"}
        return Image(_media(entry["image_url"]["url"]), {**beside, **inner})
    if "image" in entry:
        return Image(_media(entry["image"]), beside)
    if "audio" in entry:
        return Audio(_media(entry["audio"], "audio"), beside)
    return Text(entry["text"], beside)


def _item(entry: dict[str, Any]) -> EmbedItem:
    part = _part(entry)
    assert not isinstance(part, Video)
    factor = entry.get("factor")
    return EmbedItem(part=part, factor=None if factor is None else float(factor))


def _media(url: str, kind: MediaKind = "image") -> Loaded:
    found = re.fullmatch(r"data:([^;]+);base64,(.*)", url)
    if found:
        return Loaded(kind=kind, source="data:", body=base64.b64decode(found[2]), mime=found[1])
    return Loaded(kind=kind, source=url, url=url)


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    """A body with what may differ taken out: a missing `parameters`, `stream: false`, the request for usage in a
    stream, a factor's spelling, a text as a string or as a list of one part, null keys of a message, SDK marks."""
    plain: dict[str, Any] = json.loads(json.dumps(body))
    plain.pop("extra_parameters", None)
    plain.pop("stream_options", None)
    if plain.get("stream") is False:
        del plain["stream"]
    if "input" in plain:
        plain.setdefault("parameters", {})
    for entry in plain.get("input", {}).get("contents", []):
        if "factor" in entry:
            entry["factor"] = float(entry["factor"])
    messages = plain.get("messages") or plain.get("input", {}).get("messages") or []
    for message in messages:
        for key in [key for key, value in message.items() if value is None]:
            del message[key]
        if isinstance(message["content"], str):
            message["content"] = [{"text": message["content"]}]
        for entry in message["content"]:
            if entry.get("type") == "text":
                del entry["type"]
    return plain


def reply_bytes(reply: dict[str, Any]) -> bytes:
    if reply.get("body_json") is not None:
        return json.dumps(reply["body_json"], ensure_ascii=False).encode()
    return str(reply.get("body_text") or "").encode()


def posted(name: str) -> list[dict[str, Any]]:
    """The questions of a capture; equal ones, which are one request tried again, once."""
    found: list[dict[str, Any]] = []
    for one in (exchange["request"] for exchange in exchanges(name)):
        again = bool(found) and one.get("body_json") == found[-1]["body_json"]
        if one["method"] == "POST" and "body_json" in one and not again:
            found.append(one)
    return found


def messages_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body.get("input", body).get("messages", [])
    return found


def said_before(body: dict[str, Any]) -> list[str]:
    """What the assistant says in the earlier turns of a body."""
    said = [message["content"] for message in messages_of(body) if message["role"] == "assistant"]
    return [content if isinstance(content, str) else content[0]["text"] for content in said]


def whole_reply(text: str, path: str) -> bytes:
    """A whole answer as the service of this path gives it."""
    if path.endswith("/generation"):
        message: dict[str, Any] = {"role": "assistant", "content": [{"text": text}]}
        return json.dumps({"output": {"choices": [{"finish_reason": "stop", "message": message}]}}).encode()
    if path.endswith("/multimodal-embedding"):
        return json.dumps({"output": {"embedding": [0.5] * 4}, "request_id": "r"}).encode()
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return json.dumps({"id": "as-1", "object": "chat.completion", "created": 1, "choices": [choice]}).encode()


def replaced_pictures(value: Any, url: str) -> Any:
    """A captured value with `url` for each picture that the capture holds as data."""
    if isinstance(value, str):
        return url if value.startswith("data:image/") else value
    if isinstance(value, dict):
        return {key: replaced_pictures(inner, url) for key, inner in value.items()}
    return [replaced_pictures(inner, url) for inner in value] if isinstance(value, list) else value
