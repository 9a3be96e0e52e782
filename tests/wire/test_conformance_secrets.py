"""A whole run leaves no key, no picture data and no signature of a URL behind, whatever the service says back."""

from __future__ import annotations

import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.client import BASES, CAT, KEY_NAME, Client, Seen, serving
from support.offline import data_uri

from pipeline.cli.main import main
from pipeline.media.load import load
from pipeline.media.refs import to_media
from pipeline.offline.service_options import ServiceOptions
from pipeline.types import Endpoint, Image, MediaLimits, Request, Secret, Turn

KEYS = {
    "dashscope": "sk-9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "qianfan": "bce-v3/ALTAK-fakefakefake/0123456789abcdef0123456789abcdef01234567",
    "openai": "a-key-of-no-known-form-4711",
}
SIGNATURE = "c2lnbmVkLWJ5LW5vYm9keQ"
SIGNED = f"https://pictures.example/a.jpg?OSSAccessKeyId=LTAIfake&Expires=9999999999&Signature={SIGNATURE}"
DATA_URL = data_uri("photos/chelsea.jpg")
PICTURE = b64encode(Path(CAT).read_bytes())[3000:3060]
WAYS = [("dashscope", "native"), ("dashscope", "openai"), ("qianfan", "openai"), ("openai", "openai")]
MODELS = {"dashscope": "qwen3-vl-plus", "qianfan": "ernie-4.5-8k-preview", "openai": "any/model"}


def echoing(seen: Seen) -> tuple[int, bytes] | None:
    """A service that says everything back: in JSON, in a page, in a stream, as a nested text."""
    if b"ECHO" not in seen.body:
        return None
    sent = seen.headers["authorization"]
    said = f"Wrong: {sent}, that is {sent.removeprefix('Bearer ')}, in {seen.body.decode()}"
    if b"ECHO html" in seen.body:
        return 502, f"<html>{said}</html>".encode()
    if b"ECHO garbage" in seen.body:
        return 200, said.encode()
    error = {"code": "InvalidParameter", "message": said, "type": said}
    if b"ECHO nested" in seen.body:
        return 400, json.dumps({"error": error, "request_id": "r"}).encode()
    if b"ECHO event" in seen.body:
        return 200, f"id:1\nevent:error\n:HTTP_STATUS/400\ndata:{json.dumps(error)}\n\n".encode()
    return 400, json.dumps(error).encode()


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"id": "file", "image": CAT, "prompt": "Describe this picture."},
        {"id": "data", "image": DATA_URL, "prompt": "Describe this picture."},
        {"id": "signed", "image": SIGNED, "prompt": "Describe this picture."},
        {"id": "bad data", "image": DATA_URL[:2000] + "!!!", "prompt": "x"},
        {"id": "turns", "messages": [{"role": "user", "image": DATA_URL, "text": "a"},
                                     {"role": "assistant", "text": "b"}], "prompt": "c"},
    ]  # fmt: skip
    ways = ("flat", "html", "garbage", "nested", "event")
    return found + [{"id": how, "images": [DATA_URL, SIGNED], "prompt": f"ECHO {how}"} for how in ways]


@pytest.fixture
def logs() -> Iterator[list[str]]:
    """Every record of every logger, down to DEBUG, as it would be written with its traceback."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(logging.Formatter("%(name)s %(message)s %(args)r").format(record))

    keep, root = Keep(logging.DEBUG), logging.getLogger()
    level = root.level
    root.addHandler(keep)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(keep)
    root.setLevel(level)


def everything(folder: Path) -> str:
    """All bytes of a folder, and all values of its Parquet files, which are compressed."""
    texts = []
    for path in sorted(found for found in folder.rglob("*") if found.is_file()):
        texts.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".parquet":
            texts.append(str(duckdb.sql(f"from read_parquet('{path}')").fetchall()))
    return "\n".join(texts)


@pytest.mark.parametrize(("provider", "protocol"), WAYS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_run_with_failures_leaves_nothing_secret_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    logs: list[str],
    provider: str,
    protocol: str,
    stream: bool,
) -> None:
    key = KEYS[provider]
    monkeypatch.setenv(KEY_NAME, key)
    script = ("garbage", "html", "500", "cut") if stream else ()
    with serving(ServiceOptions(script=script), instead=echoing) as service:
        job = Client(tmp_path, service.url).job(
            rows(), provider={"name": provider, "model": MODELS[provider]}, offline=False
        )
        settings = [f"provider.{name}={value}" for name, value in {
            "name": provider, "model": MODELS[provider], "api_key_env": KEY_NAME, "stream": str(stream).lower(),
            "base_url": service.url + BASES[provider, protocol],
        }.items()] + ([f"provider.protocol={protocol}"] if provider == "dashscope" else [])  # fmt: skip
        settings.append("retry.attempts=2")
        options = [part for setting in settings for part in ("--set", setting)]
        name = str(job.spec.path)
        codes = []
        for command in (
            ["run", name, "--summary", str(tmp_path / "summary.json"), *options],
            ["status", name, "--json", *options],
            ["query", name, "select * from failures", "--format", "json", *options],
            ["export", name, str(tmp_path / "out.jsonl"), *options],
            ["reprocess", name, "--where", "true", *options],
        ):
            with pytest.raises(SystemExit) as stop:
                main(command)
            codes.append(stop.value.code or 0)
        assert any(one.headers["authorization"] == f"Bearer {key}" for one in service.seen if "oss" not in one.path)
        assert any(PICTURE in one.body for one in service.seen) == (protocol == "openai")
        assert any(SIGNATURE.encode() in one.body for one in service.seen)
    assert codes == [1, 0, 0, 0, 1]
    for manifest in tmp_path.glob("*.jsonl"):
        if manifest.name.startswith("job"):
            manifest.unlink()
    shown = capfd.readouterr()
    written = everything(tmp_path)
    assert "Wrong: Bearer …" in written
    for place, text in {"files": written, "stdout": shown.out, "stderr": shown.err, "logs": "\n".join(logs)}.items():
        for what, secret in {"key": key, "picture": PICTURE.decode(), "signature": SIGNATURE}.items():
            assert secret not in text, (
                f"{what} in {place}: …{text[max(0, text.find(secret) - 200) : text.find(secret)]}"
            )


def test_nothing_on_the_way_prints_its_data() -> None:
    media = to_media(DATA_URL, "image", "/")
    signed = to_media(SIGNED, "image", "/")
    loaded = load(media, MediaLimits())
    request = Request(
        task="ask", model="m", turns=(Turn(role="user", parts=(Image(loaded), Image(media), Image(signed))),)
    )
    endpoint = Endpoint(provider="openai", base_url="https://x/v1", key=Secret(KEYS["openai"]))
    for shown in (
        repr(request),
        str(request),
        repr((media, signed, loaded)),
        f"{endpoint}",
        repr(load(signed, MediaLimits())),
    ):
        assert KEYS["openai"] not in shown
        assert SIGNATURE not in shown
        assert r"\xff\xd8" not in shown
        assert len(shown) < 1000
