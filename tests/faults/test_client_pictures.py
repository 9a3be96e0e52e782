"""Whole jobs over pictures of odd formats: what reaches the server."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.client import FAKE_KEY, KEY_NAME, Client, Service, failures, serving
from support.pictures import drawn, encoded

UNKNOWN = {"name": "openai", "model": "somebody/a-model"}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def sent_pictures(service: Service) -> list[tuple[str, bytes]]:
    """(declared MIME type, bytes) of every picture that the server was sent as a data: URL."""
    found: list[tuple[str, bytes]] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)
        elif isinstance(value, str) and value.startswith("data:"):
            head, _, data = value.partition(",")
            found.append((head[5:].partition(";")[0], base64.b64decode(data)))

    for one in service.asked("/chat/completions"):
        look(one.json)
    return found


@pytest.mark.parametrize("form", ["AVIF", "TIFF", "JPEG2000", "ICO", "ICNS", "SGI", "PPM", "BMP", "DIB"])
def test_an_unknown_server_gets_odd_formats_as_png_or_jpeg(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.bin").write_bytes(encoded(drawn(64, 64), form))
    with serving() as service:
        Client(tmp_path, service.url).answers([{"id": "a", "image": "a.bin", "prompt": "What?"}], provider=UNKNOWN)
        [(mime, body)] = sent_pictures(service)
    picture = Image.open(io.BytesIO(body))
    assert (mime, picture.format) in {("image/png", "PNG"), ("image/jpeg", "JPEG")}


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF"])
def test_an_unknown_server_gets_common_formats_untouched(tmp_path: Path, form: str) -> None:
    body = encoded(drawn(64, 64), form)
    (tmp_path / "a.bin").write_bytes(body)
    with serving() as service:
        Client(tmp_path, service.url).answers([{"id": "a", "image": "a.bin", "prompt": "What?"}], provider=UNKNOWN)
        assert sent_pictures(service) == [(f"image/{form.lower()}", body)]


def test_resize_off_refuses_an_odd_format_and_says_how_to_allow_it(tmp_path: Path) -> None:
    body = encoded(drawn(64, 64), "TIFF")
    (tmp_path / "a.tif").write_bytes(body)
    rows = [{"id": "a", "image": "a.tif", "prompt": "What?"}]
    with serving() as service:
        client = Client(tmp_path, service.url)
        job = client.job(rows, provider=UNKNOWN, media={"resize": "off"})
        assert job.run().failed == 1
        [failure] = failures(job)
        assert failure["code"] == "Local.Format"
        assert "media.formats" in failure["message"]
        allowed = {UNKNOWN["model"]: {"media": {"formats": ["TIFF"]}}}
        client.answers(rows, provider=UNKNOWN, media={"resize": "off"}, models=allowed)
        assert sent_pictures(service) == [("image/tiff", body)]
