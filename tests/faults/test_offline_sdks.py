"""The official SDKs, unmodified, against the embedded service on a loopback port."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.offline import DATA, data_uri, running

from pipeline.offline.options import ServiceOptions

CAT = DATA / "photos/chelsea.jpg"
FRAMES = [f"file://{path}" for path in sorted((DATA / "frames/cat").glob("*.jpg"))][:6]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    options = ServiceOptions(wrong_keys=frozenset({"sk-wrong"}), models_offline=frozenset({"llama3.2-11b-vision"}))
    with running(options) as base:
        yield base


@pytest.fixture(scope="module")
def throttled() -> Iterator[str]:
    with running(ServiceOptions(fail=(("429", 1.0),))) as base:
        yield base


@pytest.fixture
def legacy(url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    import dashscope

    monkeypatch.setattr(dashscope, "base_http_api_url", f"{url}/api/v1")
    monkeypatch.setattr(dashscope, "api_key", "sk-test")
    return dashscope


def user(*content: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


PICTURE = {"image": f"file://{CAT}"}
QUESTION = {"text": "What is in this picture?"}


def test_the_legacy_sdk_uploads_a_local_picture_and_hears_that_it_is_a_cat(legacy: Any) -> None:
    found = legacy.MultiModalConversation.call(model="qwen3-vl-plus", messages=user(PICTURE, QUESTION))
    assert found.status_code == HTTPStatus.OK
    assert "cat" in found.output.choices[0].message.content[0]["text"].lower()
    assert found.usage["image_tokens"] > 0


def test_the_legacy_sdk_streams_cumulatively_unless_told_otherwise(legacy: Any) -> None:
    stream = legacy.MultiModalConversation.call(model="qwen-vl-max", messages=user(PICTURE, QUESTION), stream=True)
    choices = [frame.output.choices[0] for frame in stream]
    texts = [choice.message.content[0]["text"] for choice in choices]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert texts[-1] == texts[-2]
    assert [choice.finish_reason for choice in choices[-2:]] == ["null", "stop"]


def test_the_legacy_sdk_streams_increments_with_text_beside_the_stop(legacy: Any) -> None:
    ask = {"model": "qwen-vl-max", "messages": user(PICTURE, QUESTION)}
    whole = legacy.MultiModalConversation.call(**ask).output.choices[0].message.content[0]["text"]
    stream = legacy.MultiModalConversation.call(**ask, stream=True, incremental_output=True)
    choices = [frame.output.choices[0] for frame in stream]
    assert "".join(choice.message.content[0]["text"] for choice in choices) == whole
    assert choices[-1].finish_reason == "stop"
    assert choices[-1].message.content[0]["text"]


def test_the_legacy_sdk_sends_two_files_of_one_call_several_turns_and_frames(legacy: Any, tmp_path: Path) -> None:
    named = tmp_path / "咖啡 cup.jpg"
    shutil.copy(DATA / "photos/coffee.jpg", named)
    call = legacy.MultiModalConversation.call
    first = call(model="qwen3-vl-plus", messages=user(PICTURE, {"image": f"file://{named}"}, QUESTION))
    said = first.output.choices[0].message
    assert "Picture 2: " in said.content[0]["text"]
    assert "Espresso" in said.content[0]["text"]
    turns = [*user(PICTURE, QUESTION), said, *user({"text": "Describe it again."})]
    assert "cat" in call(model="qwen3-vl-plus", messages=turns).output.choices[0].message.content[0]["text"]
    frames = call(model="qwen3-vl-plus", messages=user({"video": FRAMES, "fps": 2}, {"text": "What happens?"}))
    assert "6 frames over 2.5 s" in frames.output.choices[0].message.content[0]["text"]
    assert frames.usage["video_tokens"] > 0


def test_the_legacy_sdk_fuses_a_picture_a_text_and_a_sound_by_their_factors(legacy: Any) -> None:
    parts = [{"image": str(CAT), "factor": 5}, {"text": "a cat", "factor": 0.5}]
    parts.append({"audio": str(DATA / "sounds/chime.wav"), "factor": 1})
    found = legacy.MultiModalEmbedding.call(
        model="multimodal-embedding-one-peace-v1", input=parts, auto_truncation=True
    )
    assert found.status_code == HTTPStatus.OK
    assert len(found.output["embedding"]) == 1536
    assert found.usage["total_usage"] == 4
    other = legacy.MultiModalEmbedding.call(model="qwen3-vl-embedding", input=[{"text": "a cat"}], dimension=1536)
    assert [len(one["embedding"]) for one in other.output["embeddings"]] == [1536]


def test_the_legacy_sdk_is_told_of_a_wrong_key_and_of_a_quota(
    legacy: Any, throttled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = {"model": "qwen3-vl-plus", "messages": user(QUESTION)}
    wrong = legacy.MultiModalConversation.call(**ask, api_key="sk-wrong")
    assert (wrong.status_code, wrong.code) == (401, "InvalidApiKey")
    monkeypatch.setattr(legacy, "base_http_api_url", f"{throttled}/api/v1")
    much = legacy.MultiModalConversation.call(**ask)
    assert (much.status_code, much.code) == (429, "Throttling.RateQuota")


def test_the_new_sdk_chats_streams_uploads_and_embeds(url: str) -> None:
    import dashscope

    client = dashscope.Client(api_key="sk-test", base_url=f"{url}/api/v1", max_retries=0)
    content = [{"type": "image_url", "image_url": {"url": f"file://{CAT}"}}, {"type": "text", "text": "Describe it."}]
    messages = [{"role": "user", "content": content}]
    found = client.multimodal.chat.create(model="qwen3-vl-plus", messages=messages)
    assert "cat" in found.choices[0].message.content
    stream = client.multimodal.chat.create(model="qwen3-vl-plus", messages=messages, stream=True)
    assert "cat" in "".join(stream.text_stream)
    vector = client.multimodal.embeddings.create(
        model="multimodal-embedding-one-peace-v1", input=[{"image": str(CAT), "factor": 2}, {"text": "a cat"}]
    )
    assert len(vector.embeddings[0].embedding) == 1536


def test_the_new_sdk_raises_on_a_wrong_key_and_a_retired_model(url: str) -> None:
    import dashscope
    from dashscope.v2 import errors

    messages = [{"role": "user", "content": "Describe it."}]
    wrong = dashscope.Client(api_key="sk-wrong", base_url=f"{url}/api/v1", max_retries=0)
    with pytest.raises(errors.AuthenticationError):
        wrong.multimodal.chat.create(model="qwen3-vl-plus", messages=messages)
    right = dashscope.Client(api_key="sk-test", base_url=f"{url}/api/v1", max_retries=0)
    with pytest.raises(errors.NotFoundError):
        right.multimodal.chat.create(model="llama3.2-11b-vision", messages=messages)


@pytest.fixture
def openai_content() -> list[dict[str, Any]]:
    address = {"url": data_uri("photos/chelsea.jpg")}
    return [{"type": "image_url", "image_url": address}, {"type": "text", "text": "Describe this picture."}]


@pytest.mark.parametrize("path", ["/compatible-mode/v1", "/v1"])
def test_the_openai_sdk_chats_and_streams_with_usage(url: str, path: str, openai_content: list[Any]) -> None:
    import openai

    client = openai.OpenAI(api_key="sk-test", base_url=url + path, max_retries=0)
    messages: Any = user(*openai_content)
    whole = client.chat.completions.create(model="qwen-vl-max", messages=messages)
    assert "cat" in str(whole.choices[0].message.content)
    again: Any = [*messages, whole.choices[0].message.model_dump(), {"role": "user", "content": "Describe it again."}]
    assert "cat" in str(client.chat.completions.create(model="qwen-vl-max", messages=again).choices[0].message.content)
    stream = client.chat.completions.create(
        model="qwen-vl-max", messages=messages, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


def test_the_openai_sdk_sends_frames_and_gets_vectors_both_ways(url: str) -> None:
    import openai

    client = openai.OpenAI(api_key="sk-test", base_url=f"{url}/compatible-mode/v1", max_retries=0)
    frames = [data_uri(f"frames/cat/frame_{number}.jpg") for number in range(1, 5)]
    video: Any = user({"type": "video", "video": frames}, {"type": "text", "text": "What happens?"})
    found = client.chat.completions.create(model="qwen-vl-max", messages=video)
    assert str(found.choices[0].message.content).startswith("4 frames")
    packed = client.embeddings.create(model="text-embedding", input=["a cat", "a dog"])
    plain = client.embeddings.create(model="text-embedding", input="a cat", encoding_format="float")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert len(packed.data[1].embedding) == 1536


def test_the_openai_sdk_raises_on_a_wrong_key_and_a_quota(url: str, throttled: str) -> None:
    import openai

    ask: Any = {"model": "qwen-vl-max", "messages": [{"role": "user", "content": "Hello"}]}
    wrong = openai.OpenAI(api_key="sk-wrong", base_url=f"{url}/compatible-mode/v1", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        wrong.chat.completions.create(**ask)
    much = openai.OpenAI(api_key="sk-test", base_url=f"{throttled}/compatible-mode/v1", max_retries=0)
    with pytest.raises(openai.RateLimitError, match="exceeded your current requests"):
        much.chat.completions.create(**ask)


def test_the_openai_sdk_talks_to_qianfan(url: str, openai_content: list[Any]) -> None:
    import openai

    client = openai.OpenAI(api_key="bce-v3/test", base_url=f"{url}/v2", max_retries=0)
    messages: Any = user(*openai_content)
    found = client.chat.completions.create(
        model="ernie-4.5-8k-preview", messages=messages, extra_body={"web_search": {"enable": True}}
    )
    assert found.id.startswith("as-")
    assert found.choices[0].model_extra == {"flag": 0}
    with pytest.raises(openai.BadRequestError, match="web_search"):
        client.chat.completions.create(
            model="llama-4-scout-17b-16e-instruct", messages=messages, extra_body={"web_search": {"enable": True}}
        )


def test_the_qianfan_sdk_chats_streams_and_is_told_of_a_wrong_key_and_a_quota(
    url: str, throttled: str, openai_content: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import qianfan

    config = qianfan.get_config()
    monkeypatch.setattr(config, "BEARER_TOKEN", "bce-v3/test")
    monkeypatch.setattr(config, "CONSOLE_API_BASE_URL", url)
    monkeypatch.setattr(config, "NO_AUTH", False)
    chat = qianfan.ChatCompletion(version=2, model="ernie-4.5-8k-preview")
    messages = user(*openai_content)
    assert "cat" in chat.do(messages=messages).body["choices"][0]["message"]["content"]
    stream = chat.do(messages=messages, stream=True)
    text = "".join(piece.body["choices"][0]["delta"].get("content") or "" for piece in stream)
    assert "cat" in text
    monkeypatch.setattr(config, "CONSOLE_API_BASE_URL", throttled)
    with pytest.raises(qianfan.errors.QianfanError, match="rpm_rate_limit_exceeded"):
        chat.do(messages=messages, retry_count=1)
    monkeypatch.setattr(config, "CONSOLE_API_BASE_URL", url)
    monkeypatch.setattr(config, "BEARER_TOKEN", "sk-wrong")
    wrong = qianfan.ChatCompletion(version=2, model="ernie-4.5-8k-preview")
    with pytest.raises(qianfan.errors.QianfanError, match="invalid_iam_token"):
        wrong.do(messages=messages, retry_count=1)
