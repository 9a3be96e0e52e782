"""Whatever is sent to the embedded service, it answers in the protocol's own shape and never breaks."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.offline import EMBEDDING, GENERATION, KEY, app, call

PATHS = (GENERATION, EMBEDDING, "/compatible-mode/v1/chat/completions", "/v1/embeddings", "/v2/chat/completions")
_file = io.BytesIO()
Image.new("RGB", (16, 16), "red").save(_file, "PNG")
PICTURE = "data:image/png;base64," + b64encode(_file.getvalue()).decode()

words = ("text", "image", "audio", "video", "factor", "type", "image_url", "url", "role", "content", "fps", "detail")
words += ("model", "input", "messages", "contents", "parameters", "stream", "max_tokens", "temperature", "stop")
words += ("dimension", "auto_truncation", "web_search", "enable", "response_format", "ocr_options", "task", "seed")
strings = (
    "user",
    "assistant",
    "text",
    "image_url",
    "video",
    PICTURE,
    "oss://a",
    "qwen3-vl-plus",
    "qwen-vl-ocr",
    "json",
)
strings += ("ernie-4.5-8k-preview", "multimodal-embedding-one-peace-v1", "advanced_recognition", "http://[bad", "")
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.sampled_from(strings) | st.text(max_size=5)
values = st.recursive(
    leaves | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(words), inner, max_size=5),
    max_leaves=12,
)
parts = st.dictionaries(st.sampled_from(words), values, min_size=1, max_size=3)
messages = st.lists(
    st.fixed_dictionaries({"role": st.just("user") | values, "content": st.lists(parts, max_size=3) | values}),
    max_size=3,
)
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from(strings) | values},
    optional={
        "messages": messages | values,
        "input": st.fixed_dictionaries({"messages": messages}) | st.fixed_dictionaries({"contents": st.lists(parts)}),
        "parameters": st.dictionaries(st.sampled_from(words), values, max_size=4) | values,
        "stream": values,
        "stream_options": values,
        "max_tokens": values,
        "web_search": values,
    },
)


@pytest.fixture(scope="module")
def service() -> Any:
    return app()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), body=bodies | values | st.binary(max_size=40), stream=st.booleans())
def test_any_body_is_answered_or_refused_in_the_protocols_shape(
    service: Any, path: str, body: Any, stream: bool
) -> None:
    headers = {**KEY, **({"X-DashScope-SSE": "enable"} if stream else {})}
    found = call(service, path, body, headers=headers)
    assert found.finished
    if "text/event-stream" in found.headers["content-type"]:
        assert found.body
        return
    if found.status == 200:
        assert {"output", "choices", "data"} & set(found.json)
        return
    error = found.json.get("error", found.json)
    assert error["code"]
    assert error["message"]
    assert found.status in (400, 401, 404, 500)
    if found.status == 500:
        assert "list index out of range" in error["message"]
