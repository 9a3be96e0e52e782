"""Pictures that stand in the row: from Python programs, and as base64 in a table."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.captures import whole_reply
from support.client import FAKE_KEY, KEY_NAME, Client, Seen, Service, failures, found, serving
from support.pictures import drawn, encoded, noise, opened

PROVIDER = {"name": "openai", "model": "somebody/a-model"}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def answered(seen: Seen) -> tuple[int, bytes]:
    return 200, whole_reply("a picture", seen.path)


def picture_in(seen: Seen) -> Image.Image:
    [part] = [part for part in seen.json["messages"][-1]["content"] if part["type"] == "image_url"]
    return opened(base64.b64decode(part["image_url"]["url"].partition(",")[2]))


def sent(folder: Path, rows: Any) -> list[Image.Image]:
    """The pictures that a job over these rows sends."""
    with serving(instead=answered) as service:
        job = Client(folder, service.url).job([], provider=PROVIDER, prompt={"text": "What?"}, dedupe={"equal": False})
        summary = job.run(manifest=rows)
        assert (summary.exit_code, summary.failures) == (0, ())
        return [picture_in(one) for one in service.seen]


IMAGE = drawn(60, 40)
ARRAY = np.asarray(IMAGE)
BODY = encoded(IMAGE, "PNG")
FORMS = [
    pytest.param(IMAGE, id="PIL"),
    pytest.param(IMAGE.convert("RGBA"), id="PIL with alpha"),
    pytest.param(ARRAY, id="numpy"),
    pytest.param(bytearray(BODY), id="bytearray"),
    pytest.param(memoryview(BODY), id="memoryview"),
    pytest.param({"bytes": bytearray(BODY), "path": None}, id="table of bytes"),
]


@pytest.mark.parametrize("value", FORMS)
@pytest.mark.parametrize("once", [False, True])
def test_pictures_from_python_are_sent(tmp_path: Path, value: Any, once: bool) -> None:
    rows = [{"id": "a", "image": value, "note": 1}]
    [image] = sent(tmp_path, iter(rows) if once else rows)
    assert image.convert("RGB").tobytes() == IMAGE.tobytes()


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (IMAGE.convert("L"), "L"),
        (IMAGE.convert("P"), "RGB"),
        (IMAGE.convert("1"), "L"),
        (IMAGE.convert("CMYK"), "RGB"),
        (IMAGE.convert("LA"), "RGBA"),
        (Image.fromarray(np.full((40, 60), 30_000, np.uint16)), "L"),
        (ARRAY[:, :, 0], "L"),
        (ARRAY[:, :, :1], "L"),
        (ARRAY[:, :, 0] > 100, "L"),
    ],
)
def test_every_kind_of_pixel_from_python_is_taken(tmp_path: Path, value: Any, mode: str) -> None:
    [image] = sent(tmp_path, [{"id": "a", "image": value}])
    assert (image.size, image.mode) == ((60, 40), mode)


def test_what_goes_out_of_pixels_is_compressed(tmp_path: Path) -> None:
    with serving(instead=answered) as service:
        job = Client(tmp_path, service.url).job([], provider=PROVIDER, prompt={"text": "What?"})
        rows = [{"id": "a", "image": Image.new("RGB", (400, 300), "red")}]
        assert job.run(manifest=rows).answered == 1
        assert len(service.seen[0].body) < 20_000
        assert job.run(manifest=[{"id": "a", "image": Image.new("RGB", (400, 300), "red")}]).sent == 0
        assert job.run(manifest=[{"id": "a", "image": Image.new("RGB", (400, 300), "blue")}]).sent == 1


def test_a_pil_picture_that_is_cut_fails_its_row_alone(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(noise(60, 40))[:-600])
    with serving(instead=answered) as service, Image.open(tmp_path / "a.jpg") as cut:
        job = Client(tmp_path, service.url).job([], provider=PROVIDER, prompt={"text": "What?"})
        rows = [{"id": "a", "image": cut}, {"id": "b", "image": IMAGE}]
        summary = job.run(manifest=rows)
        assert (summary.answered, summary.failed) == (1, 1)
        assert failures(job)[0]["code"] == "Local.TruncatedPicture"


def texts_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def served(service: Service, folder: Path, rows: list[dict[str, Any]]) -> Any:
    job = Client(folder, service.url).job(rows, provider=PROVIDER, prompt={"text": "What?"})
    job.run()
    return job


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_base64_of_a_picture_is_taken_for_the_picture(tmp_path: Path, form: str) -> None:
    body = encoded(IMAGE, form)
    text = base64.b64encode(body).decode()
    lines = "\n".join(text[place : place + 76] for place in range(0, len(text), 76))
    with serving(instead=answered) as service:
        job = served(service, tmp_path, [{"id": "a", "image": text}, {"id": "b", "images": [lines]}])
        assert len(found(job, "select * from results")) == 2
        assert picture_in(service.seen[0]).size == (60, 40)
    assert text[40:120].encode() not in texts_below(tmp_path / "job1")


def test_base64_of_something_else_is_refused_with_a_hint(tmp_path: Path) -> None:
    text = base64.b64encode(bytes(range(256)) * 40).decode()
    with serving(instead=answered) as service:
        job = served(service, tmp_path, [{"id": "a", "image": text}, {"id": "b", "image": BODY.hex()[:400]}])
        assert service.seen == []
        first, second = failures(job)
    assert first["code"] == second["code"] == "Local.BadReference"
    assert "base64" in first["message"]
    assert len(first["message"]) < 300
    assert text[40:120].encode() not in texts_below(tmp_path / "job1")
    assert text[40:120] not in first["row"]


def test_a_long_path_is_still_a_path(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 60) / ("b" * 60)
    folder.mkdir(parents=True)
    (folder / "picture").write_bytes(BODY)
    with serving(instead=answered) as service:
        served(service, tmp_path, [{"id": "a", "image": f"{'a' * 60}/{'b' * 60}/picture"}])
        assert len(service.seen) == 1
