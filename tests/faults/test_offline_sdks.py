"""The official SDKs, unmodified, against the embedded service on a loopback port."""

from __future__ import annotations

import contextlib
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.offline import DATA, data_uri, running

from pipeline.offline.service_options import ServiceOptions

Closing = Callable[[Any], Any]

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
def closing() -> Iterator[Closing]:
    """Gives clients that are closed when the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda client: stack.enter_context(contextlib.closing(client))


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


def test_the_new_sdk_chats_streams_uploads_and_embeds(url: str, closing: Closing) -> None:
    import dashscope

    client = closing(dashscope.Client(api_key="sk-test", base_url=f"{url}/api/v1", max_retries=0))
    content = [{"type": "image_url", "image_url": {"url": f"file://{CAT}"}}, {"type": "text", "text": "Describe it."}]
    messages: list[Any] = [{"role": "user", "content": content}]
    found = client.multimodal.chat.create(model="qwen3-vl-plus", messages=messages)
    assert "cat" in found.choices[0].message.content
    stream = client.multimodal.chat.create(model="qwen3-vl-plus", messages=messages, stream=True)
    assert "cat" in "".join(stream.text_stream)
    vector = client.multimodal.embeddings.create(
        model="multimodal-embedding-one-peace-v1", input=[{"image": str(CAT), "factor": 2}, {"text": "a cat"}]
    )
    assert len(vector.embeddings[0].embedding) == 1536


def test_the_new_sdk_raises_on_a_wrong_key_and_a_retired_model(url: str, closing: Closing) -> None:
    import dashscope
    from dashscope.v2 import errors

    messages: list[Any] = [{"role": "user", "content": "Describe it."}]
    wrong = closing(dashscope.Client(api_key="sk-wrong", base_url=f"{url}/api/v1", max_retries=0))
    with pytest.raises(errors.AuthenticationError):
        wrong.multimodal.chat.create(model="qwen3-vl-plus", messages=messages)
    right = closing(dashscope.Client(api_key="sk-test", base_url=f"{url}/api/v1", max_retries=0))
    with pytest.raises(errors.NotFoundError):
        right.multimodal.chat.create(model="llama3.2-11b-vision", messages=messages)


@pytest.fixture
def openai_content() -> list[dict[str, Any]]:
    address = {"url": data_uri("photos/chelsea.jpg")}
    return [{"type": "image_url", "image_url": address}, {"type": "text", "text": "Describe this picture."}]


@pytest.mark.parametrize("path", ["/compatible-mode/v1", "/v1"])
def test_the_openai_sdk_chats_and_streams_with_usage(
    url: str, path: str, openai_content: list[Any], closing: Closing
) -> None:
    import openai

    client = closing(openai.OpenAI(api_key="sk-test", base_url=url + path, max_retries=0))
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


def test_the_openai_sdk_sends_frames_and_gets_vectors_both_ways(url: str, closing: Closing) -> None:
    import openai

    client = closing(openai.OpenAI(api_key="sk-test", base_url=f"{url}/compatible-mode/v1", max_retries=0))
    frames = [data_uri(f"frames/cat/frame_{number}.jpg") for number in range(1, 5)]
    video: Any = user({"type": "video", "video": frames}, {"type": "text", "text": "What happens?"})
    found = client.chat.completions.create(model="qwen-vl-max", messages=video)
    assert str(found.choices[0].message.content).startswith("4 frames")
    packed = client.embeddings.create(model="text-embedding", input=["a cat", "a dog"])
    plain = client.embeddings.create(model="text-embedding", input="a cat", encoding_format="float")
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
    assert len(packed.data[1].embedding) == 1536


def test_the_openai_sdk_raises_on_a_wrong_key_and_a_quota(url: str, throttled: str, closing: Closing) -> None:
    import openai

    ask: Any = {"model": "qwen-vl-max", "messages": [{"role": "user", "content": "Hello"}]}
    wrong = closing(openai.OpenAI(api_key="sk-wrong", base_url=f"{url}/compatible-mode/v1", max_retries=0))
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        wrong.chat.completions.create(**ask)
    much = closing(openai.OpenAI(api_key="sk-test", base_url=f"{throttled}/compatible-mode/v1", max_retries=0))
    with pytest.raises(openai.RateLimitError, match="exceeded your current requests"):
        much.chat.completions.create(**ask)


def test_the_openai_sdk_talks_to_qianfan(url: str, openai_content: list[Any], closing: Closing) -> None:
    import openai

    client = closing(openai.OpenAI(api_key="bce-v3/test", base_url=f"{url}/v2", max_retries=0))
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


@pytest.mark.qianfan
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


BALL = f"file://{DATA / 'videos/ball.mp4'}"
CHIME = DATA / "sounds/chime.wav"


@pytest.fixture
def same_names(tmp_path: Path) -> list[str]:
    """Three different pictures of one name, in three folders."""
    found = []
    for folder, name in (("a", "chelsea"), ("b", "coffee"), ("c", "rocket")):
        (tmp_path / folder).mkdir()
        shutil.copy(DATA / f"photos/{name}.jpg", tmp_path / folder / "image.jpg")
        found.append(f"file://{tmp_path / folder / 'image.jpg'}")
    return found


def test_files_of_one_name_in_one_call_are_each_their_own(legacy: Any, same_names: list[str]) -> None:
    parts = [{"image": path} for path in same_names]
    for count in (2, 3):
        found = legacy.MultiModalConversation.call(model="qwen3-vl-plus", messages=user(*parts[:count], QUESTION))
        assert found.status_code == HTTPStatus.OK, found
        text = found.output.choices[0].message.content[0]["text"]
        told = [part.lower() for part in text.split("Picture ")[1:]]
        assert ["cat" in told[0], "espresso" in told[1], len(told)] == [True, True, count]
        assert count == 2 or "missile" in told[2] or "rocket" in told[2]


def test_frames_of_one_name_in_one_call_are_each_their_own(legacy: Any, same_names: list[str]) -> None:
    frames = [same_names[0], same_names[1], same_names[0], same_names[1]]
    call = legacy.MultiModalConversation.call
    found = call(model="qwen3-vl-plus", messages=user({"video": frames}, {"text": "What happens?"}))
    assert found.status_code == HTTPStatus.OK, found
    text = found.output.choices[0].message.content[0]["text"]
    assert "cat" in text.lower()
    assert "espresso at the end" in text.lower()


def test_embedded_files_of_one_name_are_each_their_own(
    legacy: Any, same_names: list[str], url: str, closing: Closing
) -> None:
    import dashscope

    model = "multimodal-embedding-one-peace-v1"
    both = [{"image": path, "factor": 1} for path in same_names[:2]]
    found = legacy.MultiModalEmbedding.call(model=model, input=both)
    assert found.status_code == HTTPStatus.OK, found
    alone = [legacy.MultiModalEmbedding.call(model=model, input=[{"image": p, "factor": 1}]) for p in same_names[:2]]
    nearness = [
        sum(a * b for a, b in zip(found.output["embedding"], one.output["embedding"], strict=True)) for one in alone
    ]
    assert nearness[0] == pytest.approx(nearness[1], abs=0.02)
    client = closing(dashscope.Client(api_key="sk-test", base_url=f"{url}/api/v1", max_retries=0))
    again = client.multimodal.embeddings.create(
        model=model, input=[{"image": path, "factor": 1} for path in same_names[:2]]
    )
    assert again.embeddings[0].embedding == pytest.approx(found.output["embedding"])


def test_the_legacy_sdk_uploads_a_video_file_with_its_options(legacy: Any) -> None:
    part = {"video": BALL, "fps": 1, "max_pixels": 100_000}
    found = legacy.MultiModalConversation.call(model="qwen3-vl-plus", messages=user(part, {"text": "What happens?"}))
    assert found.status_code == HTTPStatus.OK, found
    assert "4 frames sampled from a video of 4.0 s" in found.output.choices[0].message.content[0]["text"]
    assert found.usage["video_tokens"] > 0


def test_the_legacy_sdk_sends_text_between_pictures_and_sounds(legacy: Any) -> None:
    call = legacy.MultiModalConversation.call
    mixed = user({"text": "Compare"}, PICTURE, {"text": "with"}, {"image": f"file://{DATA / 'photos/coffee.jpg'}"})
    found = call(model="qwen3-vl-plus", messages=mixed)
    order = "Given in this order: text “Compare”, picture 1, text “with”, picture 2."
    assert order in found.output.choices[0].message.content[0]["text"]
    heard = call(model="qwen-audio-turbo", messages=user({"audio": f"file://{CHIME}"}, {"text": "What is it?"}))
    assert "a sound of 3.0 s" in heard.output.choices[0].message.content[0]["text"]
    assert heard.usage["audio_tokens"] == 75


def test_the_new_sdk_sends_videos_sounds_and_options(url: str, closing: Closing) -> None:
    import dashscope

    client = closing(dashscope.Client(api_key="sk-test", base_url=f"{url}/api/v1", max_retries=0))
    content: list[dict[str, Any]] = [
        {"type": "text", "text": "First"},
        {"type": "video", "url": BALL, "fps": 1},
        {"type": "image", "url": f"file://{CAT}", "min_pixels": 70_000, "max_pixels": 80_000},
    ]
    found = client.multimodal.chat.create(model="qwen3-vl-plus", messages=[{"role": "user", "content": content}])
    text = found.choices[0].message.content
    assert "Video 1: 4 frames sampled" in text
    assert "Given in this order: text, video 1, picture 1." in text
    sound = {"type": "audio", "data": b64encode(CHIME.read_bytes()).decode(), "format": "wav"}
    heard = client.multimodal.chat.create(model="qwen-audio-turbo", messages=[{"role": "user", "content": [sound]}])
    assert "a sound of 3.0 s" in heard.choices[0].message.content


def test_the_openai_sdk_sends_videos_sounds_and_options(url: str, closing: Closing) -> None:
    import openai

    client = closing(openai.OpenAI(api_key="sk-test", base_url=f"{url}/compatible-mode/v1", max_retries=0))
    ball = {"type": "video_url", "video_url": {"url": data_uri("videos/ball.mp4", "video/mp4")}, "fps": 5}
    seen: Any = user({"type": "text", "text": "What happens?"}, ball)
    found = client.chat.completions.create(model="qwen3-vl-plus", messages=seen)
    assert "20 frames sampled from a video of 4.0 s" in str(found.choices[0].message.content)
    sound = {"data": f"data:;base64,{b64encode(CHIME.read_bytes()).decode()}", "format": "wav"}
    heard: Any = user({"type": "input_audio", "input_audio": sound}, {"type": "text", "text": "What is it?"})
    ask: Any = {"model": "qwen3-omni-flash", "messages": heard, "modalities": ["text"]}
    with pytest.raises(openai.BadRequestError, match="only support stream mode"):
        client.chat.completions.create(**ask)
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "a sound of 3.0 s" in text
    assert chunks[-1].usage.prompt_tokens_details.audio_tokens == 38


def test_a_conversation_of_three_questions_goes_through_the_clients(url: str, legacy: Any, closing: Closing) -> None:
    import openai

    client = closing(openai.OpenAI(api_key="sk-test", base_url=f"{url}/v1", max_retries=0))
    picture = {"type": "image_url", "image_url": {"url": data_uri("photos/chelsea.jpg")}}
    messages: list[Any] = user(picture, {"type": "text", "text": "Describe it."})
    for question in ("Which colours?", "How bright?"):
        reply = client.chat.completions.create(model="any-vl", messages=messages).choices[0].message
        messages += [reply.model_dump(), {"role": "user", "content": question}]
    last = str(client.chat.completions.create(model="any-vl", messages=messages).choices[0].message.content)
    assert "1. asked “Describe it.” and answered “A cat" in last
    assert "2. asked “Which colours?” and answered “" in last
    native = [*user(PICTURE, QUESTION)]
    reply = legacy.MultiModalConversation.call(model="qwen3-vl-plus", messages=native).output.choices[0].message
    native += [reply, *user({"text": "And its eyes?"})]
    second = legacy.MultiModalConversation.call(model="qwen3-vl-plus", messages=native)
    assert "asked “What is in this picture?”" in second.output.choices[0].message.content[0]["text"]


@pytest.mark.qianfan
def test_the_qianfan_sdk_sends_a_video_with_its_rate(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import qianfan

    config = qianfan.get_config()
    monkeypatch.setattr(config, "BEARER_TOKEN", "bce-v3/test")
    monkeypatch.setattr(config, "CONSOLE_API_BASE_URL", url)
    monkeypatch.setattr(config, "NO_AUTH", False)
    video = {"url": data_uri("videos/ball.mp4", "video/mp4"), "fps": 1}
    messages = user({"type": "text", "text": "What happens?"}, {"type": "video_url", "video_url": video})
    found = qianfan.ChatCompletion(version=2, model="ernie-4.5-turbo-vl").do(messages=messages)
    assert "4 frames sampled from a video of 4.0 s" in found.body["choices"][0]["message"]["content"]
