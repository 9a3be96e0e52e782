"""Extra headers and the workspace: sent to the service, never to a storage host, never in place of the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.client import CAT, FAKE_KEY, KEY_NAME, Client, found, serving

from pipeline.errors import EXIT_USAGE, JobError

NATIVE = {"name": "dashscope", "model": "qwen3-vl-plus"}
PICTURE = [{"id": "a", "image": CAT, "prompt": "Describe this picture."}]
EXTRA = {"X-Gateway-Team": "pictures", "X-DashScope-DataInspection": '{"input":"cip","output":"cip"}'}
WAYS = [
    NATIVE,
    {**NATIVE, "protocol": "openai"},
    {"name": "qianfan", "model": "ernie-4.5-8k-preview"},
    {"name": "openai", "model": "any/model"},
]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def refused(folder: Path, headers: dict[str, Any]) -> str:
    job = Client(folder, "http://127.0.0.1:9").job(PICTURE, provider={**NATIVE, "headers": headers})
    with pytest.raises(JobError) as caught:
        job.run()
    assert caught.value.exit_code == EXIT_USAGE
    assert FAKE_KEY not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("provider", WAYS)
def test_extra_headers_go_with_every_question(tmp_path: Path, provider: dict[str, Any]) -> None:
    with serving() as service:
        Client(tmp_path, service.url).answers(PICTURE, provider={**provider, "headers": EXTRA})
        (asked,) = [one for one in service.seen if one.path.endswith(("/generation", "/chat/completions"))]
        assert {name: asked.headers.get(name.lower()) for name in EXTRA} == EXTRA
        assert asked.headers["authorization"] == f"Bearer {FAKE_KEY}"


def test_certificates_have_the_extra_headers_and_storage_has_none(tmp_path: Path) -> None:
    with serving() as service:
        Client(tmp_path, service.url).answers(PICTURE, provider={**NATIVE, "headers": EXTRA, "workspace": "ws_1"})
        (certificate,), (storage,) = service.asked("/uploads"), service.asked("/oss/")
        assert {name: certificate.headers.get(name.lower()) for name in EXTRA} == EXTRA
        ours = {"authorization", "x-dashscope-workspace", *(name.lower() for name in EXTRA)}
        assert not ours & set(storage.headers)
        assert FAKE_KEY.encode() not in storage.body


def test_the_workspace_of_qianfan_is_its_appid(tmp_path: Path) -> None:
    provider = {"name": "qianfan", "model": "ernie-4.5-8k-preview", "workspace": "app-xxxx"}
    with serving() as service:
        Client(tmp_path, service.url).answers(PICTURE, provider=provider)
        assert service.asked("/chat/completions")[0].headers["appid"] == "app-xxxx"


def test_other_headers_never_make_an_answered_row_new(tmp_path: Path) -> None:
    with serving() as service:
        client = Client(tmp_path, service.url)
        job = client.job(PICTURE, provider=NATIVE)
        assert job.run().answered == 1
        again = type(job).load(job.spec.path, {"provider": {**NATIVE, "api_key_env": KEY_NAME, "headers": EXTRA,
                                                            "base_url": f"{service.url}/api/v1"}})  # fmt: skip
        summary = again.run()
        assert (summary.exit_code, summary.sent) == (0, 0)
        assert len(found(again, "select * from versions")) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Authorization", "the key comes from provider.api_key_env or provider.api_key_file"),
        ("AUTHORIZATION", "the key comes from provider.api_key_env"),
        ("Proxy-Authorization", "a proxy's login belongs in its address"),
        ("Cookie", "no session is kept"),
        ("X-DashScope-WorkSpace", "set provider.workspace"),
        ("appid", "set provider.workspace"),
        ("X-DashScope-SSE", "set provider.stream"),
        ("X-DashScope-OssResourceResolve", "it is sent where an upload is referred to"),
        ("X-DashScope-Async", "answers are awaited"),
        *((name, "it belongs to the connection") for name in (
            "Host", "Content-Type", "content-length", "Transfer-Encoding", "Connection", "Accept-Encoding", "TE",
            "Upgrade", "Expect", "Keep-Alive", "Trailer")),
        *((name, "a key is never written in a job") for name in (
            "api-key", "X-API-Key", "x-goog-api-key", "apikey", "My_Api_Key", "X-Access-Key-Id", "x-secret-key")),
    ],
)  # fmt: skip
def test_a_header_of_ours_or_of_a_key_is_refused(tmp_path: Path, name: str, words: str) -> None:
    said = refused(tmp_path, {name: "anything"})
    assert f"provider.headers.{name}: cannot be set here" in said
    assert words in said


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\nb", "é", "a\x00", "a(b)"])
def test_what_is_no_header_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "this is no header name" in refused(tmp_path, {name: "x"})


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "a\tb", "a\x7f", " a", "a ", "café"])
def test_a_value_that_would_break_the_request_is_refused(tmp_path: Path, value: str) -> None:
    assert "expected printable ASCII text without outer blanks" in refused(tmp_path, {"X-Team": value})


@pytest.mark.parametrize("value", [FAKE_KEY, f"Bearer {FAKE_KEY}", f"token={FAKE_KEY};x"])
def test_a_value_with_the_key_is_refused(tmp_path: Path, value: str) -> None:
    assert "holds the key" in refused(tmp_path, {"X-Team": value})


def test_one_header_under_two_spellings_is_refused(tmp_path: Path) -> None:
    assert "provider.headers.x-team: is given twice" in refused(tmp_path, {"X-Team": "a", "x-team": "b"})


def test_a_value_that_is_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"provider\.headers\.X-Team: found 3"):
        Client(tmp_path, "http://127.0.0.1:9").job(PICTURE, provider={**NATIVE, "headers": {"X-Team": 3}})
