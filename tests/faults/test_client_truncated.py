"""`[media] truncated`: pictures that are cut off at their end are refused, or sent on purpose."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.captures import whole_reply
from support.client import FAKE_KEY, KEY_NAME, Client, Seen, failures, found, serving
from support.pictures import drawn, encoded, inline, noise, opened

from pipeline.errors import Fault
from pipeline.media.limits import FitOptions
from pipeline.media.load import from_bytes
from pipeline.types import MediaLimits

UNKNOWN = {"name": "openai", "model": "somebody/a-model"}
ROWS = [{"id": name, "image": f"{name}.jpg", "prompt": "What?"} for name in ("cut", "no-end", "whole")]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_NAME, FAKE_KEY)


def answered(seen: Seen) -> tuple[int, bytes]:
    return 200, whole_reply("a picture", seen.path)


def test_cut_pictures_are_sent_when_the_job_says_so(tmp_path: Path) -> None:
    body = encoded(noise(90, 60))
    for name, content in (("whole", encoded(drawn())), ("no-end", body[:-2]), ("cut", body[: len(body) // 2])):
        (tmp_path / f"{name}.jpg").write_bytes(content)
    with serving(instead=answered) as service:
        client = Client(tmp_path, service.url)
        job = client.job(ROWS, provider=UNKNOWN)
        assert (job.run().answered, len(service.seen)) == (1, 1)
        codes = {one["id"]: one["code"] for one in failures(job)}
        assert codes == {"cut": "Local.TruncatedPicture", "no-end": "Local.TruncatedPicture"}
        sending = client.job(ROWS, provider=UNKNOWN, media={"truncated": "send"}, output="job1")
        summary = sending.run()
        assert (summary.answered, summary.open, len(service.seen)) == (2, 0, 3)
        os.utime(tmp_path / "cut.jpg", ns=(1, 1))
        assert (sending.run().sent, len(service.seen)) == (0, 3)
        assert [one["stale"] for one in found(sending, "select stale from results")] == [False] * 3


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "TIFF", "GIF"])
def test_what_there_is_of_a_cut_picture_can_be_made_smaller(form: str) -> None:
    body = encoded(drawn(400, 300), form)
    body = body[: len(body) * 3 // 4]
    limits = MediaLimits(formats=("PNG",), max_pixels=30_000)
    with pytest.raises(Fault, match="TruncatedPicture"):
        from_bytes(body, inline(body), limits)
    smaller = opened(from_bytes(body, inline(body), limits, FitOptions(truncated="send")).body)
    assert smaller.size == (200, 150)
    # The rows of a BMP begin at the bottom.
    place, colour = ((190, 140), (0, 0, 255)) if form == "BMP" else ((10, 10), (255, 0, 0))
    pixel = smaller.convert("RGB").getpixel(place)
    assert isinstance(pixel, tuple)
    assert max(abs(a - b) for a, b in zip(pixel, colour, strict=True)) < 60


def test_a_picture_cut_in_its_header_is_refused_all_the_same() -> None:
    for body in (b"\xff\xd8\xff\xe0", encoded(drawn(), "PNG")[:20], encoded(drawn(), "WEBP")[:20]):
        with pytest.raises(Fault, match=r"Truncated|Damaged"):
            from_bytes(body, inline(body), MediaLimits(), FitOptions(truncated="send"))
