"""Sounds in questions: each protocol's own form, for models that hear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.client import FAKE_KEY, KEY_NAME, Client, Seen, Service, failures, serving
from support.offline import DATA

OMNI = {"name": "dashscope", "protocol": "openai", "model": "qwen3-omni-flash", "stream": True}
OPENAI = {"name": "openai", "model": "any/model"}
DEAF = {"name": "dashscope", "model": "qwen3-vl-plus"}
CHIME = str(DATA / "sounds/chime.wav")
SAID = "What is to be heard?"


def answer(seen: Seen) -> tuple[int, bytes] | None:
    if not seen.path.endswith("/chat/completions"):
        return None
    body: dict[str, Any] = {"id": "r", "choices": [{"index": 0, "finish_reason": "stop"}]}
    body["choices"][0]["delta" if seen.json.get("stream") else "message"] = {"content": "A chime."}
    text = json.dumps(body)
    return 200, f"data: {text}\n\ndata: [DONE]\n\n".encode() if seen.json.get("stream") else text.encode()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving(instead=answer) as found:
        yield found


@pytest.fixture
def client(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)
    service.seen.clear()
    return Client(tmp_path, service.url)


def parts(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.seen[-1].json["messages"][-1]["content"]
    return found


def test_dashscope_gets_a_data_url_in_input_audio(client: Client, service: Service) -> None:
    (result,) = client.answers([{"id": "s", "audio": CHIME, "prompt": SAID}], provider=OMNI)
    sound, said = parts(service)
    assert sound["type"] == "input_audio"
    assert sound["input_audio"]["format"] == "wav"
    assert sound["input_audio"]["data"].startswith("data:;base64,")
    assert said == {"type": "text", "text": SAID}
    assert result["source"] == [CHIME]


def test_dashscope_gets_a_url_in_input_audio(client: Client, service: Service) -> None:
    client.answers([{"id": "s", "audio": "https://sounds.example/a.mp3?s=1", "prompt": SAID}], provider=OMNI)
    assert parts(service)[0]["input_audio"] == {"data": "https://sounds.example/a.mp3?s=1", "format": "mp3"}


def test_other_servers_get_plain_base64(client: Client, service: Service) -> None:
    rows = [{"id": "s", "contents": [{"text": SAID}, {"audio": CHIME}]}]
    client.answers(rows, provider=OPENAI)
    said, sound = parts(service)
    assert said["text"] == SAID
    assert set(sound["input_audio"]) == {"data", "format"}
    assert not sound["input_audio"]["data"].startswith("data:")


def test_a_model_that_does_not_hear_is_told(client: Client) -> None:
    job = client.job([{"id": "s", "audio": CHIME, "prompt": SAID}], provider=DEAF)
    assert job.run().exit_code == 1
    assert failures(job)[0]["code"] == "Local.Sound"


@pytest.mark.parametrize("task", ["caption", "ocr"])
def test_only_ask_and_embed_take_the_field_audio(client: Client, task: str) -> None:
    job = client.job([{"id": "s", "audio": CHIME}], task=task, provider=OPENAI)
    assert job.run().exit_code == 1
    assert failures(job)[0]["code"] == "Local.AudioNotTaken"
