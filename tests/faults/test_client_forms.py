"""Our own client against the embedded service, in this process and over http: every form the official SDKs use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.client import CAT, COFFEE, FAKE_KEY, KEY_NAME, Client, Service, pictures, serving
from support.offline import DATA, data_uri

SAID = "Describe this picture."
ONE_PEACE = "multimodal-embedding-one-peace-v1"
NATIVE = {"name": "dashscope", "model": "qwen3-vl-plus"}
CHATS = {
    "native": (NATIVE, "/generation"),
    "compatible": (
        {"name": "dashscope", "protocol": "openai", "model": "qwen3-vl-plus"},
        "/compatible-mode/v1/chat/completions",
    ),
    "qianfan": ({"name": "qianfan", "model": "ernie-4.5-8k-preview"}, "/v2/chat/completions"),
    "llama 4": ({"name": "qianfan", "model": "llama-4-scout-17b-16e-instruct"}, "/v2/chat/completions"),
    "openai": ({"name": "openai", "model": "any/model"}, "/v1/chat/completions"),
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with pictures() as url:
        yield url


@pytest.fixture(params=["in this process", "over http"])
def client(request: Any, tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    service.seen.clear()
    return Client(tmp_path, service.url if request.param == "over http" else None)


@pytest.fixture
def remote(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    service.seen.clear()
    return Client(tmp_path, service.url)


def shown(path: str) -> dict[str, str]:
    """A row that asks about one picture."""
    return {"id": "a", "image": path, "prompt": SAID}


def sent(client: Client, service: Service, ending: str) -> dict[str, Any]:
    """The one body that came to a path, {} where no log is kept."""
    if client.url is None:
        return {}
    found: dict[str, Any] = service.asked(ending)[-1].json
    return found


@pytest.mark.parametrize("chat", CHATS)
def test_one_picture_is_asked_about_whole_and_as_a_stream(client: Client, service: Service, chat: str) -> None:
    provider, path = CHATS[chat]
    (whole,) = client.answers([shown(CAT)], provider=provider)
    (streamed,) = client.answers([shown(CAT)], provider={**provider, "stream": True})
    assert "cat" in whole["answer"].lower()
    counted = ("answer", "finish_reason", "input_tokens", "output_tokens", "media_tokens")
    assert {name: whole[name] for name in counted} == {name: streamed[name] for name in counted}
    assert whole["request_id"]
    assert whole["input_tokens"] > 100
    assert whole["finish_reason"] == "stop"
    if client.url is not None:
        assert len(service.asked(path)) == 2


@pytest.mark.parametrize("chat", CHATS)
def test_system_several_pictures_and_earlier_turns_arrive(remote: Client, service: Service, chat: str) -> None:
    provider, path = CHATS[chat]
    earlier = [{"role": "user", "text": "And this?", "image": COFFEE}, {"role": "assistant", "text": "A cup."}]
    rows: list[dict[str, Any]] = [{"id": "several", "images": [CAT, COFFEE], "prompt": SAID, "system": "Be brief."},
                                  {"id": "turns", "messages": earlier, "prompt": "Describe it again."}]  # fmt: skip
    several, turns = remote.answers(rows, provider=provider)
    assert "Picture 2: " in several["answer"]
    assert "Espresso" in turns["answer"]
    bodies = [one.json for one in service.asked(path)]
    messages = [body.get("input", body)["messages"] for body in bodies]
    roles = sorted([message["role"] for message in found] for found in messages)
    assert roles == [["system", "user"], ["user", "assistant", "user"]]


@pytest.mark.parametrize("chat", ["native", "compatible", "qianfan", "openai"])
def test_a_text_alone_and_a_picture_alone_are_answered(remote: Client, chat: str) -> None:
    rows = [{"id": "picture", "image": CAT, "prompt": ""}, {"id": "text", "prompt": "Hello"}]
    picture, text = remote.answers(rows, provider=CHATS[chat][0])
    assert "cat" in picture["answer"].lower()
    assert text["media_tokens"] is None


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("qwen3-vl-plus", {}),
        ("qwen-vl-max", {"incremental_output": True}),
        ("qwen-vl-max", {"incremental_output": False}),
        ("qwen-vl-max", {}),
        ("llama3.2-11b-vision", {}),
    ],
)
def test_native_streams_of_both_modes_give_the_whole_text_once(
    remote: Client, host: str, model: str, parameters: dict[str, Any]
) -> None:
    row = shown(f"{host}/photos/chelsea.jpg")
    provider = {"name": "dashscope", "model": model, "parameters": parameters}
    (streamed,) = remote.answers([row], provider={**provider, "stream": True})
    (whole,) = remote.answers([row], provider={"name": "dashscope", "model": model})
    assert streamed["answer"] == whole["answer"]
    assert streamed["output_tokens"] == whole["output_tokens"]


@pytest.mark.parametrize("chat", ["native", "compatible"])
def test_frames_go_as_one_video_with_their_rate(remote: Client, service: Service, chat: str) -> None:
    provider, path = CHATS[chat]
    listed = [str(DATA / f"frames/cat/frame_{number}.jpg") for number in range(1, 7)]
    folder = str(DATA / "frames/cat")
    rows = [{"id": "a", "frames": listed, "fps": 2, "prompt": "What happens?"},
            {"id": "b", "frames": folder, "max_frames": 4, "prompt": "What happens?"}]  # fmt: skip
    first, second = remote.answers(rows, provider=provider)
    assert first["answer"].startswith("6 frames over 2.5 s")
    assert second["answer"].startswith("4 frames")
    assert first["media_tokens"] > 0
    assert len(first["source"]) == 6
    contents = [one.json.get("input", one.json)["messages"][0]["content"][0] for one in service.asked(path)]
    assert sorted((len(content["video"]), content.get("fps")) for content in contents) == [(4, None), (6, 2)]


def test_local_files_are_uploaded_natively_and_go_as_base64_elsewhere(remote: Client, service: Service) -> None:
    remote.answers([shown(CAT)], provider=CHATS["native"][0])
    (asked,) = service.asked("/generation")
    assert asked.headers["x-dashscope-ossresourceresolve"] == "enable"
    assert asked.json["input"]["messages"][0]["content"][0]["image"].startswith("oss://dashscope-instant/")
    certificate, upload = service.asked("/uploads")[0], service.asked("/oss/")[0]
    assert certificate.headers["authorization"] == f"Bearer {FAKE_KEY}"
    assert "authorization" not in upload.headers
    for chat in ("compatible", "qianfan", "openai"):
        remote.answers([shown(CAT)], provider=CHATS[chat][0])
        body = sent(remote, service, CHATS[chat][1])
        assert body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/jpeg;base64,")


@pytest.mark.parametrize("chat", CHATS)
def test_a_picture_given_as_a_data_url_is_sent(remote: Client, chat: str) -> None:
    (answer,) = remote.answers([shown(data_uri("photos/chelsea.jpg"))], provider=CHATS[chat][0])
    assert "cat" in answer["answer"].lower()
    assert answer["source"][0].startswith("data:image/jpeg;sha256=")


def test_read_text_comes_with_its_places(client: Client) -> None:
    parameters = {"ocr_options": {"task": "advanced_recognition"}}
    provider = {"name": "dashscope", "model": "qwen-vl-ocr", "parameters": parameters}
    row = {"id": "a", "image": str(DATA / "texts/bilingual_card.jpg")}
    (whole,) = client.answers([row], task="ocr", provider=provider)
    (streamed,) = client.answers([row], task="ocr", provider={**provider, "stream": True})
    assert "Blue Ocean Instruments" in whole["ocr_text"]
    assert "蓝海仪器" in whole["ocr_text"]
    assert all(len(block["polygon"]) == 4 for block in whole["blocks"])
    assert (streamed["ocr_text"], streamed["blocks"]) == (whole["ocr_text"], whole["blocks"])


@pytest.mark.parametrize("task", ["key_information_extraction", "table_parsing", "text_recognition", "multi_lan"])
def test_the_other_tasks_of_an_ocr_model_are_answered(remote: Client, task: str) -> None:
    provider = {"name": "dashscope", "model": "qwen-vl-ocr", "parameters": {"ocr_options": {"task": task}}}
    (read,) = remote.answers(
        [{"id": "a", "image": str(DATA / "texts/bilingual_card.jpg")}], task="ocr", provider=provider
    )
    assert "0755-8312 4476" in read["ocr_text"]


def test_web_search_and_detail_are_taken_by_ernie(remote: Client, service: Service) -> None:
    parameters = {"web_search": {"enable": True, "enable_trace": True}, "detail": "high"}
    provider = {"name": "qianfan", "model": "ernie-4.5-8k-preview", "parameters": parameters}
    remote.answers([shown(CAT)], provider=provider)
    body = sent(remote, service, "/v2/chat/completions")
    assert body["web_search"] == parameters["web_search"]
    assert body["messages"][0]["content"][0]["image_url"]["detail"] == "high"


def vectors(answers: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    found = {answer["id"]: np.asarray(answer["embedding"], dtype=np.float32) for answer in answers}
    assert all(vector.shape == (1536,) for vector in found.values())
    assert all(abs(float(np.linalg.norm(vector)) - 1) < 1e-5 for vector in found.values())
    return found


def test_text_picture_and_sound_are_fused_by_their_factors(client: Client, service: Service) -> None:
    def mixed(name: str, *factors: float) -> dict[str, Any]:
        kinds = ({"image": CAT}, {"text": "a cup of coffee"}, {"audio": str(DATA / "sounds/chime.wav")})
        return {"id": name, "contents": [{**k, "factor": f} for k, f in zip(kinds, factors, strict=True)]}

    rows = [{"id": "picture", "image": CAT}, mixed("mostly picture", 8, 1, 1), mixed("mostly sound", 1, 1, 8)]
    answers = client.answers(rows, task="embed", provider={"name": "dashscope", "model": ONE_PEACE})
    found = vectors(answers)
    near = {name: float(found["picture"] @ found[name]) for name in ("mostly picture", "mostly sound")}
    assert near["mostly picture"] > 0.8 > near["mostly sound"]
    modalities = {answer["id"]: answer["modalities"] for answer in answers}
    assert modalities["mostly sound"] == ["image", "text", "audio"]
    units = json.loads(next(a["extra"] for a in answers if a["id"] == "mostly sound"))["usage"]["total_usage"]
    assert units == 4
    if client.url is not None:
        contents = [one.json["input"]["contents"] for one in service.asked("multimodal-embedding")]
        assert [sum(item.get("factor", 0) for item in found) for found in contents].count(10) == 2


def test_a_newer_model_fuses_when_asked_and_gives_1536_numbers(remote: Client, service: Service) -> None:
    provider = {"name": "dashscope", "model": "qwen3-vl-embedding", "parameters": {"dimension": 1536}}
    rows = [{"id": "both", "image": CAT, "text": "a cat"}, {"id": "picture", "image": CAT}]
    found = vectors(remote.answers(rows, task="embed", provider=provider))
    assert float(found["both"] @ found["picture"]) > 0.5
    asked = {
        len(one.json["input"]["contents"]): one.json["parameters"] for one in service.asked("multimodal-embedding")
    }
    assert asked == {1: {"dimension": 1536}, 2: {"dimension": 1536, "enable_fusion": True}}


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ({"name": "openai", "model": "m"}, {"input": "a cat", "encoding_format": "base64"}),
        ({"name": "openai", "model": "m", "parameters": {"encoding_format": "float"}},
         {"input": "a cat", "encoding_format": "float"}),
        ({"name": "dashscope", "protocol": "openai", "model": "text-embedding-v4"},
         {"input": "a cat", "encoding_format": "base64"}),
        ({"name": "qianfan", "model": "embedding-v1"}, {"input": ["a cat"]}),
    ],
)  # fmt: skip
def test_a_text_is_embedded_by_each_services_embeddings(
    remote: Client, service: Service, provider: dict[str, Any], expected: dict[str, Any]
) -> None:
    native = remote.answers(
        [{"id": "a", "text": "a cat"}], task="embed", provider={"name": "dashscope", "model": ONE_PEACE}
    )
    found = remote.answers([{"id": "a", "text": "a cat"}], task="embed", provider=provider)
    assert vectors(found)["a"] == pytest.approx(vectors(native)["a"])
    assert found[0]["input_tokens"] > 0
    assert sent(remote, service, "/embeddings") == {"model": provider["model"], **expected}


def test_pictures_and_sounds_are_embedded_as_one_message_by_servers_that_take_it(
    client: Client, service: Service, host: str
) -> None:
    sound = str(DATA / "sounds/chime.wav")
    rows: list[dict[str, Any]] = [
        {"id": "picture", "image": CAT},
        {"id": "both", "image": f"{host}/photos/chelsea.jpg", "text": "a cat"},
        {"id": "sound", "audio": sound},
        {"id": "texts", "contents": [{"text": "a cat"}, {"text": "a dog"}]},
    ]
    found = vectors(client.answers(rows, task="embed", provider={"name": "openai", "model": "an/embedder"}))
    assert float(found["picture"] @ found["both"]) > 0.5
    if client.url is not None:
        bodies = [one.json for one in service.asked("/v1/embeddings")]
        assert all(set(body) == {"model", "messages", "encoding_format"} for body in bodies)
        assert all([message["role"] for message in body["messages"]] == ["user"] for body in bodies)


@pytest.mark.parametrize("provider", [{"name": "qianfan", "model": "m"},
                                      {"name": "dashscope", "protocol": "openai", "model": "m"}])  # fmt: skip
def test_what_a_text_only_embeddings_does_not_take_is_refused_before_it_is_sent(
    remote: Client, service: Service, provider: dict[str, Any]
) -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "image": CAT}, {"id": "b", "contents": [{"text": "x"}, {"text": "y"}]}]
    summary = remote.job(rows, task="embed", provider=provider).run()
    assert (summary.exit_code, summary.failed, summary.attempts) == (1, 2, 0)
    assert [(group.code, group.rows) for group in summary.failures] == [("Local.OneText", 2)]
    assert service.seen == []
