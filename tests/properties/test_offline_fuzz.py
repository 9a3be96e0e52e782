"""Whatever is sent to the embedded service, it answers in the protocol's own shape and never breaks."""

from __future__ import annotations

import copy
import io
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.offline import EMBEDDING, GENERATION, KEY, app, call, data_uri

_file = io.BytesIO()
Image.new("RGB", (16, 16), "red").save(_file, "PNG")
PICTURE = "data:image/png;base64," + b64encode(_file.getvalue()).decode()
SEEN = {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}
TURNS = [
    {"role": "system", "content": "You say json."},
    {"role": "user", "content": [SEEN, {"type": "text", "text": "Describe it."}]},
    {"role": "assistant", "content": "A red square."},
    {"role": "user", "content": [{"type": "text", "text": "Again."}, SEEN]},
]
BALL = data_uri("videos/ball.mp4", "video/mp4")
CHIME = data_uri("sounds/chime.wav", "audio/wav")
OPTIONS = {"fps": 1, "min_pixels": 70_000, "max_pixels": 80_000, "cache_control": {"type": "ephemeral"}}
FORMS = [
    {"text": "First", "cache_control": {"type": "ephemeral"}},
    {"video": BALL, "min_frames": 4, "max_frames": 6, "total_pixels": 400_000, **OPTIONS},
    {"text": "then"},
    {"image": PICTURE, "enable_rotate": True, **OPTIONS},
]
FILM = {"type": "video_url", "video_url": {"url": BALL, "fps": 1}, **OPTIONS}
SOUND = {"type": "input_audio", "input_audio": {"data": CHIME, "format": "wav"}}
COMMON = {"temperature": 0.5, "top_p": 0.5, "seed": 1, "stop": ["x"], "response_format": {"type": "json_object"}}
OCR = {"task": "key_information_extraction", "task_config": {"result_schema": {"a": ""}}}
NATIVE = [
    {"role": "user", "content": [{"image": PICTURE}, {"text": "json?"}, {"video": [PICTURE] * 4, "fps": 2}]},
    {"role": "assistant", "content": [{"text": "A red square."}]},
    {"role": "user", "content": [{"text": "Again."}]},
]
VALID: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        GENERATION,
        {
            "model": "qwen3-vl-plus",
            "input": {"messages": NATIVE},
            "parameters": {**COMMON, "max_tokens": 9, "top_k": 1, "incremental_output": True},
        },
    ),
    (
        GENERATION,
        {"model": "qwen3-vl-plus", "input": {"messages": [{"role": "user", "content": FORMS}]}, "parameters": {}},
    ),
    (
        GENERATION,
        {"model": "qwen-audio-turbo", "input": {"messages": [{"role": "user", "content": [{"audio": CHIME}]}]}},
    ),
    ("/v1/chat/completions", {"model": "any", "messages": [{"role": "user", "content": [FILM, SOUND, SEEN]}]}),
    ("/v2/chat/completions", {"model": "ernie-4.5-turbo-vl", "messages": [{"role": "user", "content": [FILM]}]}),
    ("/v1/embeddings", {"model": "m", "messages": [{"role": "user", "content": [FILM, SOUND, SEEN]}]}),
    (
        GENERATION,
        {
            "model": "qwen-vl-ocr",
            "input": {"messages": [{"role": "user", "content": [{"image": PICTURE}]}]},
            "parameters": {"ocr_options": OCR},
        },
    ),
    (
        EMBEDDING,
        {
            "model": "qwen3-vl-embedding",
            "input": {"contents": [{"image": PICTURE, "factor": 2}, {"text": "a"}, {"video": BALL, "fps": 1}]},
            "parameters": {"dimension": 1536, "enable_fusion": True, "auto_truncation": True},
        },
    ),
    (
        "/compatible-mode/v1/chat/completions",
        {"model": "qwen-vl-max", "messages": TURNS, "stream_options": {"include_usage": True}, **COMMON},
    ),
    ("/v1/embeddings", {"model": "m", "input": ["a"], "dimensions": 1536, "encoding_format": "base64"}),
    ("/v1/embeddings", {"model": "m", "messages": TURNS, "encoding_format": "float"}),
    ("/v2/embeddings", {"model": "m", "input": ["a"], "encoding_format": "float"}),
    (
        "/v2/chat/completions",
        {"model": "ernie-4.5-8k-preview", "messages": TURNS, "web_search": {"enable": True}, "max_tokens": 99},
    ),
)

leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5)
leaves |= st.floats(allow_nan=False, allow_infinity=False)
leaves |= st.sampled_from(
    (
        "user",
        "video",
        "image_url",
        BALL,
        CHIME,
        PICTURE,
        "oss://a",
        "http://[bad",
        "http://localhost:x/",
        "data:,",
        "json",
    )
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("text", "type", "url")), inner),
    max_leaves=5,
)


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body, as the keys that lead to it."""
    steps: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in steps:
        yield (*here, key)
        yield from places(inner, (*here, key))


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, dict[str, Any], bool]:
    """A valid request of any protocol with up to three places replaced or removed; and whether it streams."""
    path, valid = draw(st.sampled_from(VALID))
    body = copy.deepcopy(valid)
    for _ in range(draw(st.integers(0, 3))):
        holder = body
        *way, last = draw(st.sampled_from(list(places(body)) or [("model",)]))
        for key in way:
            holder = holder[key]
        if draw(st.booleans()):
            holder[last] = draw(values)
        else:
            holder.pop(last, None) if isinstance(holder, dict) else holder.pop(last)
    stream = draw(st.booleans())
    if stream and path not in (GENERATION, EMBEDDING):
        body["stream"] = True
    return path, body, stream


@pytest.fixture(scope="module")
def service() -> Any:
    return app()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=spoiled())
def test_any_body_is_answered_or_refused_in_the_protocols_shape(
    service: Any, request: tuple[str, dict[str, Any], bool]
) -> None:
    path, body, stream = request
    found = call(service, path, body, headers={**KEY, **({"X-DashScope-SSE": "enable"} if stream else {})})
    assert found.finished
    if "text/event-stream" in found.headers["content-type"]:
        assert found.body.endswith(b"\n\n")
        return
    if found.status == 200:
        assert {"output", "choices", "data"} & set(found.json)
        return
    error = found.json.get("error", found.json)
    assert error["code"]
    assert error["message"]
    assert found.status in (400, 404, 500)
    if found.status == 500:
        assert "list index out of range" in error["message"]


@settings(max_examples=50, deadline=None)
@given(path=st.sampled_from([path for path, _ in VALID]), body=st.binary(max_size=60))
def test_any_bytes_are_refused(path: str, body: bytes) -> None:
    assert call(app(), path, body).status == 400


@pytest.mark.parametrize(("path", "body"), VALID, ids=[path for path, _ in VALID])
def test_the_bodies_that_are_spoiled_are_valid_to_begin_with(service: Any, path: str, body: dict[str, Any]) -> None:
    assert call(service, path, body).status == 200
