from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.manifests import written
from support.pictures import drawn, encoded, inline, local, noise, png_header, sound, turned

from pipeline.errors import Fault
from pipeline.media import files
from pipeline.media.limits import FitOptions
from pipeline.media.load import digest, from_bytes, load, original_coordinates, preview
from pipeline.media.probe import MAX_PIXELS, probe
from pipeline.types import Loaded, Media, MediaLimits

ANY = MediaLimits()


def code_of(media: Media, limits: MediaLimits = ANY, confine: str | None = None) -> str:
    with pytest.raises(Fault) as caught:
        load(media, limits, confine=confine)
    assert caught.value.kind == "rejected"
    assert str(media.path or "data:") in caught.value.message
    return caught.value.code.removeprefix("Local.")


def test_a_picture_that_fits_is_sent_to_the_byte(tmp_path: Path) -> None:
    body = encoded(drawn(), "PNG")
    path = written(tmp_path, "été 1.PNG", body)
    loaded = load(local(path), MediaLimits(formats=("PNG",), max_pixels=10_000, max_bytes=len(body)))
    assert loaded == Loaded(
        kind="image",
        source=str(path),
        body=body,
        mime="image/png",
        name="été 1.png",
        sha256=hashlib.sha256(body).hexdigest(),
        width=120,
        height=80,
        original_width=120,
        original_height=80,
    )
    assert digest(local(path)) == loaded.sha256


def test_the_name_and_type_follow_what_the_file_is_and_not_its_ending(tmp_path: Path) -> None:
    loaded = load(local(written(tmp_path, "a.jpg", encoded(drawn(), "WEBP"))), ANY)
    assert (loaded.name, loaded.mime) == ("a.webp", "image/webp")


def test_a_url_goes_as_it_is_and_its_fetched_bytes_are_fitted_like_a_files() -> None:
    media = Media(kind="image", ref="u", url="https://h/p/a.jpg?sig=s#x")
    assert load(media, ANY) == Loaded(kind="image", source="https://h/p/a.jpg", url="https://h/p/a.jpg?sig=s#x")
    assert digest(media) is None
    loaded = from_bytes(encoded(drawn(), "PNG"), media, MediaLimits(formats=("JPEG",)))
    assert (loaded.name, loaded.source, loaded.url) == ("a.jpg", "https://h/p/a.jpg", None)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "EmptyFile"),
        (b"just some words", "NotAPicture"),
        (b"<html><body>404</body></html>", "NotAPicture"),
        (b"%PDF-1.7", "DamagedPicture"),
        (b"\x00\x00\x00\x18ftypheic" + b"\0" * 40, "DamagedPicture"),
        (b"\xff\xd8\xff", "TruncatedPicture"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "TruncatedPicture"),
        (b"BM" + b"\0" * 30, "DamagedPicture"),
        (b"RIFF\x10\0\0\0WEBPVP8X" + b"\x0a\0\0\0\0\0\0\0" + b"\xff" * 6, "TooManyPixels"),
        (png_header(60_000, 60_000), "TooManyPixels"),
        (encoded(drawn(), "JPEG")[:-400], "TruncatedPicture"),
        (encoded(noise(40, 40), "PNG")[:-400], "TruncatedPicture"),
        (encoded(drawn(), "WEBP")[:-40], "TruncatedPicture"),
        (encoded(drawn(), "BMP")[:-400], "TruncatedPicture"),
        (encoded(drawn(), "TIFF")[:-400], "TruncatedPicture"),
    ],
)
def test_each_bad_file_has_its_code_and_its_name_in_the_message(tmp_path: Path, content: bytes, code: str) -> None:
    assert code_of(local(written(tmp_path, "a.png", content))) == code


def test_a_truncated_jpeg_is_seen_behind_a_whole_thumbnail() -> None:
    thumbnail = encoded(drawn(40, 30))
    body = encoded(drawn())
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    whole = body[:2] + segment + body[2:]
    assert from_bytes(whole, inline(whole), ANY).body == whole
    cut = whole[:-500]
    with pytest.raises(Fault, match="TruncatedPicture"):
        from_bytes(cut, inline(cut), ANY)


def test_bytes_behind_the_end_of_a_picture_do_no_harm() -> None:
    for form in ("JPEG", "PNG"):
        body = encoded(drawn(), form) + b"MotionPhoto" * 10
        assert from_bytes(body, inline(body), ANY).body == body


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        assert code_of(local(tmp_path / "socket.jpg")) == "NotAFile"
    assert code_of(local(tmp_path / "pipe.jpg")) == "NotAFile"
    assert code_of(local(tmp_path)) == "NotAFile"
    assert code_of(local(Path("/dev/zero"))) == "NotAFile"
    assert code_of(local(tmp_path / "gone.jpg")) == "MissingFile"
    assert code_of(local(Path("D:/photos/a.jpg"))) == "MissingFile"
    assert code_of(local(written(tmp_path, "a.txt", b"x") / "b.jpg")) == "MissingFile"
    assert code_of(local(tmp_path / ("n" * 300))) == "UnreadableFile"


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.jpg").open("wb") as file:
        file.truncate(files.MAX_FILE_BYTES + 1)
    assert code_of(local(tmp_path / "big.jpg")) == "TooLarge"


def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    written(tmp_path, "open/a.jpg", encoded(drawn())).chmod(0)
    code = """
import os
from pathlib import Path
from support.pictures import local
from pipeline.media.load import load
from pipeline.types import MediaLimits
if os.getuid() == 0:
    os.setuid(65534)
load(local(Path("a.jpg")), MediaLimits())
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path / "open",
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"},
    )
    assert "Local.NoPermission" in done.stderr


def test_links_out_of_the_manifests_folder_are_refused_for_relative_references_alone(tmp_path: Path) -> None:
    outside = written(tmp_path, "outside/a.jpg", encoded(drawn()))
    inside = written(tmp_path, "in/b.jpg", encoded(drawn()))
    (tmp_path / "in/link.jpg").symlink_to(outside)
    (tmp_path / "in/folder").symlink_to(outside.parent)
    (tmp_path / "in/near.jpg").symlink_to(inside)
    root = str(tmp_path / "in")
    for ref in ("link.jpg", "folder/a.jpg", "file://link.jpg"):
        media = local(tmp_path / "in" / ref.removeprefix("file://"), ref)
        assert code_of(media, confine=root) == "OutsideManifest"
        with pytest.raises(Fault, match="OutsideManifest"):
            digest(media, confine=root)
    assert load(local(tmp_path / "in/near.jpg", "near.jpg"), ANY, confine=root).width == 120
    assert load(local(tmp_path / "in/link.jpg"), ANY, confine=root).width == 120
    (tmp_path / "alias").symlink_to(tmp_path / "in")
    assert load(local(tmp_path / "alias/b.jpg", "b.jpg"), ANY, confine=str(tmp_path / "alias")).width == 120


def test_a_picture_too_small_or_too_long_is_refused_with_the_numbers() -> None:
    with pytest.raises(Fault, match=r"TooSmall: .*5×80; the model takes sides of at least 11"):
        load(inline(encoded(drawn(5, 80))), MediaLimits(min_side=11))
    with pytest.raises(Fault, match=r"Ratio: .*1000×4, 250\.0:1; the model takes 200:1"):
        load(inline(encoded(drawn(1000, 4))), MediaLimits(max_ratio=200))


def test_probing_reads_the_header_alone(tmp_path: Path) -> None:
    body = turned(6, 400, 300)
    facts = probe(local(written(tmp_path, "a.jpg", body[:3000])))
    assert (facts.format, facts.width, facts.height, facts.orientation) == ("JPEG", 400, 300, 6)
    assert (facts.upright_width, facts.upright_height) == (300, 400)
    assert probe(inline(png_header(13_000, 13_000, 16))).bits == 16
    with pytest.raises(Fault, match=f"{MAX_PIXELS:,}"):
        probe(inline(png_header(20_000, 20_000)))
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(Fault, match="NotAFile"):
        probe(local(tmp_path / "pipe.jpg"))


def test_a_preview_tells_from_the_header_what_would_be_sent_or_refused(tmp_path: Path) -> None:
    picture = local(written(tmp_path, "a.jpg", turned(6, 400, 300)[:3000]))
    assert preview(picture, ANY) == (300, 400)
    assert preview(picture, MediaLimits(max_pixels=30_000)) == (150, 200)
    with pytest.raises(Fault, match=r"Local\.TooManyPixels"):
        preview(picture, MediaLimits(max_pixels=30_000), FitOptions(resize="off"))
    with pytest.raises(Fault, match=r"Local\.MissingFile"):
        preview(local(tmp_path / "gone.jpg"), ANY)
    assert preview(Media(kind="image", ref="u", url="https://h/a"), ANY) is None


def test_positions_are_scaled_to_the_upright_original() -> None:
    loaded = from_bytes(turned(6, 400, 300), inline(b""), MediaLimits(max_pixels=30_000))
    assert (loaded.width, loaded.height, loaded.original_width, loaded.original_height) == (150, 200, 300, 400)
    assert original_coordinates(loaded, [(0, 0), (150, 0), (150, 200)]) == ((0, 0), (300, 0), (300, 400))
    unknown = Loaded(kind="image", source="u", url="u")
    assert original_coordinates(unknown, [(1.0, 2.0)]) == ((1.0, 2.0),)


def test_sounds_are_checked_and_measured(tmp_path: Path) -> None:
    def heard(body: bytes, limits: MediaLimits = ANY) -> Loaded:
        return from_bytes(body, Media(kind="audio", ref="a", path="/x/a.bin"), limits)

    loaded = heard(sound(2.5))
    assert (loaded.seconds, loaded.mime, loaded.name, loaded.width) == (2.5, "audio/wav", "a.wav", None)
    for body, limits, code in [
        (sound(2), MediaLimits(max_seconds=1.5), "TooLong"),
        (sound(2), MediaLimits(max_bytes=1000), "TooLarge"),
        (sound(2), MediaLimits(max_encoded_bytes=32_050), "TooLarge"),
        (sound(2), MediaLimits(formats=("MP3",)), "Format"),
        (sound(2)[:-4000], ANY, "TruncatedSound"),
        (b"", ANY, "EmptyFile"),
        (b"words", ANY, "NotASound"),
        (encoded(noise(20, 20)), ANY, "NotASound"),
        (b"fLaC" + b"\xff" * 40, ANY, "NotASound"),
        (b"RIFF\x10\0\0\0WAVE", ANY, "NotASound"),
    ]:
        with pytest.raises(Fault, match=rf"Local\.{code}"):
            heard(body, limits)
