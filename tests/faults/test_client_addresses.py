"""A base URL as the official SDKs take it leads to the right paths; one of the other protocol leads nowhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.client import CAT, FAKE_KEY, KEY_NAME, Client, failures, serving

from pipeline.errors import EXIT_USAGE, JobError

NATIVE = {"name": "dashscope", "model": "qwen3-vl-plus"}
ASK = [{"id": "a", "prompt": "Hello"}]
EMBED = [{"id": "a", "text": "hello"}]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("provider", "base", "chat", "embeddings"),
    [
        (NATIVE, "/api/v1", "/services/aigc/multimodal-generation/generation",
         "/services/embeddings/multimodal-embedding/multimodal-embedding"),
        ({**NATIVE, "protocol": "openai"}, "/compatible-mode/v1", "/chat/completions", "/embeddings"),
        ({"name": "qianfan", "model": "ernie-4.5-8k-preview"}, "/v2", "/chat/completions", "/embeddings"),
        ({"name": "openai", "model": "m"}, "/v1", "/chat/completions", "/embeddings"),
        ({"name": "openai", "model": "m"}, "/compatible-mode/v1", "/chat/completions", "/embeddings"),
    ],
)  # fmt: skip
def test_each_official_base_url_leads_to_its_paths(
    tmp_path: Path, provider: dict[str, Any], base: str, chat: str, embeddings: str, slash: str
) -> None:
    with serving() as service:
        client = Client(tmp_path, service.url)
        there = {**provider, "base_url": service.url + base + slash}
        client.answers(ASK, provider=there)
        client.answers(EMBED, task="embed", provider={**there, "model": "unknown-embedder"})
        assert service.paths() == [base + chat, base + embeddings]
        assert all(one.headers["authorization"] == f"Bearer {FAKE_KEY}" for one in service.seen)


@pytest.mark.parametrize(
    ("provider", "base", "words"),
    [
        (NATIVE, "/compatible-mode/v1", 'set provider.protocol = "openai"'),
        (NATIVE, "/compatible-mode/v1/", 'set provider.protocol = "openai"'),
        ({**NATIVE, "protocol": "openai"}, "/api/v1", 'set provider.protocol = "native"'),
        ({**NATIVE, "protocol": "openai"}, "/compatible-mode/v1/chat/completions", "leave out /chat/completions"),
        ({"name": "openai", "model": "m"}, "/v1/chat/completions/", "leave out /chat/completions"),
        ({"name": "qianfan", "model": "m"}, "/v2/chat/completions", "leave out /chat/completions"),
        ({**NATIVE, "model": "llama3.2-11b-vision", "protocol": "openai"}, "/compatible-mode/v1", "provider.protocol"),
    ],
)
def test_an_address_that_cannot_be_right_is_said_and_nothing_is_sent(
    tmp_path: Path, provider: dict[str, Any], base: str, words: str
) -> None:
    with serving() as service:
        job = Client(tmp_path, service.url).job(ASK, provider={**provider, "base_url": service.url + base})
        with pytest.raises(JobError, match=re.escape(words)) as refused:
            job.run()
        assert refused.value.exit_code == EXIT_USAGE
        assert service.seen == []


def test_a_workspace_goes_along_with_questions_and_certificates(tmp_path: Path) -> None:
    with serving() as service:
        rows = [{"id": "a", "image": CAT, "prompt": "Describe this picture."}]
        Client(tmp_path, service.url).answers(rows, provider={**NATIVE, "workspace": "ws_1"})
        for path in ("/uploads", "/generation"):
            assert [one.headers["x-dashscope-workspace"] for one in service.asked(path)] == ["ws_1"]
        assert "x-dashscope-workspace" not in service.asked("/oss/")[0].headers


def test_a_wrong_path_says_which_setting_to_look_at(tmp_path: Path) -> None:
    with serving() as service:
        provider = {"name": "openai", "model": "m", "base_url": f"{service.url}/v9"}
        job = Client(tmp_path, service.url).job(ASK, provider=provider)
        summary = job.run()
    said = summary.message or failures(job)[0]["message"]
    assert "check provider.base_url and provider.protocol" in said
