"""`pipeline doctor` names what is broken in a set-up, with what mends it; the calls go to a loopback service."""

from __future__ import annotations

import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from support.counting_server import Asked, CountingServer, Told

KEY = "sk-not-a-real-key-0123456789"


@pytest.fixture
def server():
    with CountingServer() as started:
        yield started


@pytest.fixture
def set_up(tmp_path, monkeypatch, server):
    """A sound job at the loopback service, with its file's text to be broken."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "rows.jsonl").write_text('{"id": "a", "prompt": "Say"}\n' * 1)
    return (
        'task = "ask"\nmanifest = "rows.jsonl"\noutput = "out"\n[provider]\nname = "openai"\nmodel = "m1"\n'
        f'base_url = "{server.base_url}"\n[models.m1]\nprice = {{ input = 1, output = 2, currency = "EUR" }}\n'
    )


@pytest.fixture
def examined(tmp_path, pipeline):
    def run(text: str, *more: str) -> tuple[int, dict[str, Any]]:
        path: Path = tmp_path / "job.toml"
        path.write_text(text)
        ran = pipeline("doctor", path, "--json", *more)
        assert KEY not in ran.out + ran.err
        return ran.code, {found["check"]: found for found in json.loads(ran.out)}

    return run


def told(found: dict[str, Any], check: str, level: str) -> str:
    assert found[check]["level"] == level, found[check]
    return f"{found[check]['text']} {found[check]['mend']}"


def test_a_sound_set_up_makes_one_small_call(set_up, examined, server):
    server.script = lambda asked, n: Told(headers="X-RateLimit-Limit-Requests: 600\r\n")
    code, found = examined(set_up)
    assert code == 0
    assert [asked.prompt for asked in server.asked] == ["Say ok."]
    assert "m1 answered in" in told(found, "call", "ok")
    assert "600 requests" in told(found, "quota", "ok")
    assert "1 row need about 1 MB" in told(found, "disk", "ok")


def test_nothing_is_sent_without_calls(set_up, examined, server):
    code, found = examined(set_up, "--no-calls")
    assert (code, server.asked, "call" in found) == (0, [], False)


def test_no_key(set_up, examined, monkeypatch, server):
    monkeypatch.delenv("OPENAI_API_KEY")
    code, found = examined(set_up)
    assert code == 2
    assert "OPENAI_API_KEY" in told(found, "key", "problem")
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "code", "mend"),
    [
        (401, "invalid_api_key", "see to the key in OPENAI_API_KEY"),
        (404, "model_not_found", "see to provider.model"),
        (429, "rate_limit_exceeded", "wait until the quota is free again"),
    ],
)
def test_a_service_that_refuses(set_up, examined, server, status, code, mend):
    server.script = lambda asked, n: Told(status=status, code=code)
    exit_code, found = examined(set_up)
    assert exit_code == 2
    assert mend in told(found, "call", "problem")
    assert len(server.asked) == 1


def test_nothing_listens_at_the_address(set_up, examined, server):
    code, found = examined(set_up.replace(f":{server.port}/", ":1/"))
    assert code == 2
    assert "see to provider.base_url" in told(found, "call", "problem")


def test_a_host_that_nobody_knows(set_up, examined, server):
    code, found = examined(set_up.replace(f"127.0.0.1:{server.port}", "service.invalid"))
    assert code == 2
    assert "service.invalid" in told(found, "call", "problem")


def test_a_proxy_that_is_down(set_up, examined, server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    code, found = examined(set_up.replace("127.0.0.1", "service.invalid"))
    assert code == 2
    assert "see to HTTPS_PROXY" in told(found, "call", "problem")
    assert "proxy of HTTP_PROXY" in told(found, "network", "ok")


def test_authorities_that_are_gone(set_up, examined, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    code, found = examined(set_up, "--no-calls")
    assert code == 2
    assert "SSL_CERT_FILE names /nowhere/ca.pem" in told(found, "network", "problem")


@pytest.mark.parametrize(("hours", "way"), [(-2, "120 min ahead of"), (3, "180 min behind")])
def test_a_clock_that_is_wrong(set_up, examined, server, hours, way):
    def script(asked: Asked, number: int) -> Told:
        import time

        return Told(headers=f"Date: {formatdate(time.time() + hours * 3600, usegmt=True)}\r\n")

    server.script = script
    code, found = examined(set_up)
    assert code == 2
    assert f"{way} the service's set the clock by the network" in told(found, "clock", "problem")


def test_a_manifest_that_is_not_there(set_up, examined):
    code, found = examined(set_up.replace("rows.jsonl", "gone.jsonl"), "--no-calls")
    assert code == 2
    assert "gone.jsonl" in told(found, "manifest", "problem")


def test_a_disk_too_small_for_the_rows(set_up, examined, tmp_path, monkeypatch):
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"id": "{n}", "prompt": "Say"}}\n' for n in range(200_000)))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 110_000_000}))
    code, found = examined(set_up, "--no-calls")
    assert code == 2
    assert "0.1 GB free at the output; 200,000 rows need about 120 MB" in told(found, "disk", "problem")


def test_a_price_that_is_not_known(set_up, examined):
    code, found = examined(set_up.partition("[models")[0], "--no-calls")
    assert code == 0
    assert "price = { input" in told(found, "price", "note")


def test_a_model_that_needs_a_picture_is_asked_about_one(set_up, examined, server):
    assert examined(f"{set_up}needs_image = true\n")[0] == 0
    assert server.asked[0].pictures
