"""Every refusal that the providers owe has a case, in words that help."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipeline.providers
from pipeline.errors import Fault
from pipeline.providers import load, models, upload_wire
from pipeline.types import (
    Audio,
    EmbedItem,
    Endpoint,
    HttpRequest,
    Image,
    Loaded,
    Media,
    Request,
    Secret,
    Text,
    Turn,
    Video,
    VideoFile,
)

URL = Loaded(kind="image", source="x", url="https://example.com/a.jpg")
HD = Loaded(kind="image", source="x", url="https://example.com/a.jpg", width=1920, height=1080)
SOUND = Loaded(kind="audio", source="x", url="https://example.com/a.wav", seconds=20.0)
FILM = Loaded(kind="video", source="x", url="https://example.com/a.mp4")
LOCAL = Media(kind="image", ref="a.png", path="/a.png")
QWEN, LLAMA, PEACE = "qwen-vl-max-latest", "llama3.2-11b-vision", "multimodal-embedding-one-peace-v1"
KEY = "sk-conformance-walk"


def ask(*parts: Any, model: str = QWEN, **more: Any) -> Request:
    return Request(task="ask", model=model, turns=(Turn(role="user", parts=parts),), **more)


def embed(*parts: Any, model: str = PEACE, factor: float | None = None, **parameters: Any) -> Request:
    items = tuple(EmbedItem(part=part, factor=factor) for part in parts)
    return Request(task="embed", model=model, items=items, parameters=parameters)


def encoded(
    request: Request, provider: str = "dashscope", protocol: str = "native", user: Any = None, **place: Any
) -> HttpRequest:
    base = load(provider).default_endpoint(protocol)
    endpoint = Endpoint(**{"provider": provider, "base_url": base, "key": Secret(KEY), "protocol": protocol, **place})
    return load(provider).encode(request, models.find(provider, request.model, user), endpoint)


def read(body: dict[str, Any] | bytes, task: Any = "ask", provider: str = "dashscope", complete: bool = True) -> Any:
    reader = load(provider).reader(Request(task=task, model="m"), models.find(provider, "m"), 200, {})
    reader.feed(body if isinstance(body, bytes) else json.dumps(body).encode())
    return reader.end(complete=complete)


def certificate(**changes: Any) -> upload_wire.Certificate:
    known = dict.fromkeys(("policy", "signature", "directory", "host", "access_key_id", "acl", "forbid_overwrite"), "x")
    return upload_wire.Certificate(**{**known, "expires_in": 300.0, **changes})


BYTES = Loaded(kind="image", source="x", body=b"12345", mime="image/png")
REFUSALS: dict[str, list[Callable[[], Any]]] = {
    "BaseUrl": [
        lambda: encoded(ask(Text("x")), base_url="https://x/compatible-mode/v1/"),
        lambda: encoded(ask(Text("x")), protocol="openai", base_url="https://x/api/v1"),
        lambda: encoded(ask(Text("x"), model="m"), "openai", "openai", base_url="https://x/v1/chat/completions"),
        lambda: encoded(ask(Text("x"), model="m"), "qianfan", "openai", base_url="https://x/v2/embeddings"),
    ],
    "BodyTooLarge": [lambda: encoded(ask(Image(Loaded(kind="image", source="x", body=bytes(49 * 2**20)))))],
    "Empty": [
        lambda: encoded(ask()),
        lambda: encoded(ask(Text(" \n"))),
        lambda: encoded(Request(task="ask", model="m"), "openai", "openai"),
        lambda: encoded(embed()),
        lambda: encoded(embed(Text(""))),
    ],
    "Factor": [
        lambda: encoded(embed(Text("x"), factor=0.0)),
        lambda: encoded(embed(Text("x"), factor=-1.0)),
        lambda: encoded(embed(Text("x"), factor=float("nan"))),
        lambda: encoded(embed(Text("x"), model="m", factor=2.0), "openai", "openai"),
        lambda: encoded(embed(Text("x"), model="m", factor=2.0), "qianfan", "openai"),
        lambda: encoded(embed(Text("x"), model="m", factor=2.0), "dashscope", "openai"),
    ],
    "Fps": [
        lambda: encoded(ask(VideoFile(FILM, {"fps": 11}), model="qwen3-vl-plus")),
        lambda: encoded(ask(VideoFile(FILM, {"fps": "fast"}), model="m"), "openai", "openai"),
        lambda: encoded(ask(Video(frames=(URL,) * 4, fps=0.05))),
        lambda: encoded(ask(Video(frames=(URL,) * 4, fps=float("inf")), model="m"), "openai", "openai"),
    ],
    "Frames": [
        lambda: encoded(ask(Video(frames=(URL,) * 3))),
        lambda: encoded(ask(Video(frames=(URL,) * 769))),
        lambda: encoded(ask(Video(frames=()))),
        lambda: encoded(ask(Video(frames=(URL,) * 4), model="qwen-vl-plus")),
        lambda: encoded(ask(Video(frames=(URL,) * 4), model="m"), "qianfan", "openai"),
    ],
    "Malformed": [
        lambda: read(b"<html>"),
        lambda: read({"output": {"choices": [{"message": 3}]}}),
        lambda: upload_wire.read_certificate(200, {}, b"{}"),
    ],
    "NeedsPicture": [lambda: encoded(ask(Text("x"), model=LLAMA))],
    "NotLoaded": [
        lambda: encoded(ask(Image(LOCAL))),
        lambda: encoded(ask(Image(Loaded(kind="image", source="x")))),
        lambda: upload_wire.upload_request(certificate(), URL, "u"),
    ],
    "OneItem": [lambda: encoded(embed(Text("a"), Text("b"), model="m"), user={"m": {"fusion": "never"}})],
    "OneText": [
        lambda: encoded(embed(Image(URL), model="m"), "qianfan", "openai"),
        lambda: encoded(embed(Text("a"), Text("b"), model="m"), "dashscope", "openai"),
    ],
    "Oss": [
        lambda: encoded(ask(Image(Loaded(kind="image", source="x", url="oss://a/b")), model="m"), "openai", "openai")
    ],
    "Option": [
        lambda: encoded(ask(Image(URL, {"detail": "high"}))),
        lambda: encoded(ask(Image(URL, {"min_pixels": 0}))),
        lambda: encoded(ask(Text("x", {"cache_control": {"type": "ephemeral"}}), model="m"), "qianfan", "openai"),
        lambda: encoded(ask(Image(URL, {"fps": 2}))),
    ],
    "Parameter": [
        lambda: encoded(ask(Text("x"), parameters={"temperature": 2})),
        lambda: encoded(ask(Text("x"), parameters={"temprature": 1})),
        lambda: encoded(
            ask(Text("x"), model="llama-4-scout-17b-16e-instruct", parameters={"web_search": {}}), "qianfan", "openai"
        ),
        lambda: encoded(
            ask(Text("x"), model="ernie-4.5-8k-preview", parameters={"max_tokens": 1}), "qianfan", "openai"
        ),
        lambda: encoded(ask(Text("x"), model="m", parameters={"n": 2}), "openai", "openai"),
    ],
    "Partial": [
        lambda: read({"output": {"choices": [{"message": {"content": [{"text": "a"}]}}]}}),
        lambda: read({"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": None}]}),
    ],
    "Pictures": [
        lambda: encoded(ask(Image(URL), model="m"), "openai", "openai", {"m": {"images": False}}),
        lambda: encoded(ask(Image(URL), Image(URL), model="m"), "openai", "openai", {"m": {"max_images": 1}}),
    ],
    "Protocol": [
        lambda: encoded(ask(Image(URL), model=LLAMA), "dashscope", "openai"),
        lambda: encoded(embed(Text("x")), "dashscope", "openai"),
    ],
    "SeveralVectors": [lambda: read({"data": [{"embedding": [1.0]}, {"embedding": [2.0]}]}, "embed", "openai")],
    "Sound": [
        lambda: encoded(ask(Audio(SOUND))),
        lambda: encoded(
            ask(Audio(Loaded(kind="audio", source="x", body=b"x", mime="audio/ogg")), model="m"), "openai", "openai"
        ),
    ],
    "SoundTooLong": [lambda: encoded(embed(Audio(SOUND)))],
    "StreamCut": [
        lambda: read(b'data:{"output":{"choices":[{"message":{"content":[]},"finish_reason":"null"}]}}\n\n'),
        lambda: read(b'{"output":', complete=False),
    ],
    "StreamOnly": [lambda: encoded(ask(Text("x"), model="qvq-max"))],
    "Task": [
        lambda: encoded(embed(Text("x"), model=QWEN)),
        lambda: encoded(ask(Text("x"), model=PEACE)),
        lambda: encoded(ask(Text("x"), model="m"), "openai", "openai", {"m": {"tasks": ["ocr"]}}),
    ],
    "Text": [lambda: encoded(ask(Text("x"), Image(URL), model="m"), "openai", "openai", {"m": {"text": False}})],
    "TextTooLong": [lambda: encoded(embed(Text("字" * 71)))],
    "TooLong": [
        lambda: encoded(ask(*[Image(HD)] * 40, Text("x"))),
        lambda: encoded(ask(Text("one word and another, " * 30_000))),
        lambda: encoded(ask(Text("word " * 40_000), model="ernie-4.5-8k-preview"), "qianfan", "openai"),
    ],
    "TooLarge": [lambda: upload_wire.upload_request(certificate(max_bytes=4), BYTES, "u")],
    "Turns": [
        lambda: encoded(Request(task="ask", model=QWEN, turns=(Turn(role="assistant", parts=(Text("x"),)),))),
        lambda: encoded(
            Request(
                task="ask",
                model=QWEN,
                turns=(Turn(role="user", parts=(Text("x"),)), Turn(role="system", parts=(Text("x"),))),
            )
        ),
        lambda: encoded(Request(task="ask", model=QWEN, turns=(Turn(role="system", parts=(Image(URL),)),))),
    ],
    "Url": [lambda: encoded(ask(Image(Loaded(kind="image", source="x", url="ftp://a/b.jpg"))))],
    "UrlsOnly": [lambda: encoded(ask(Image(LOCAL), model=LLAMA)), lambda: encoded(ask(Image(BYTES), model=LLAMA))],
    "Video": [lambda: encoded(ask(Image(URL), VideoFile(FILM), model=LLAMA))],
    "Workspace": [lambda: encoded(ask(Text("x"), model="m"), "openai", "openai", workspace="w")],
}
NOT_REFUSED = {"Malformed": ("malformed", "once"), "StreamCut": ("transient", "yes"), "Partial": ("suspect", "no")}
CASES = [(code, index) for code in REFUSALS for index in range(len(REFUSALS[code]))]


def test_every_code_of_ours_in_the_providers_has_a_case() -> None:
    folder = Path(pipeline.providers.__file__).parent
    text = "\n".join(path.read_text() for path in folder.glob("*.py"))
    assert set(re.findall(r'(?:refusal\(\s*|Local\.)"?([A-Z][A-Za-z]+)"', text)) == set(REFUSALS)


@pytest.mark.parametrize(("code", "index"), CASES)
def test_each_refusal_is_made_in_words_that_help(code: str, index: int) -> None:
    with pytest.raises(Fault) as caught:
        REFUSALS[code][index]()
    fault = caught.value
    assert fault.code == f"Local.{code}"
    assert (fault.kind, fault.retry) == NOT_REFUSED.get(code, ("rejected", "no"))
    assert len(fault.message) > 10
    assert KEY not in repr(fault) + str(fault)
