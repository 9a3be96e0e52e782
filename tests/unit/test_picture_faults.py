"""Pictures as people have them: large metadata, cut ends, damage, and what each is called."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from support.pictures import drawn, encoded, inline, local, opened

from pipeline.errors import Fault
from pipeline.media.limits import FitOptions
from pipeline.media.load import from_bytes, load, preview
from pipeline.media.probe import probe
from pipeline.offline.models.image import decode, header
from pipeline.types import MediaLimits

ANY = MediaLimits()
ANY_SERVER = MediaLimits(formats=("JPEG", "PNG", "WEBP", "GIF"))


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def with_chunks(*chunks: bytes, end: bool = False) -> bytes:
    """A PNG with chunks behind its header, or (`end`) behind its pixels."""
    body = encoded(drawn(), "PNG")
    place = len(body) - 12 if end else 33
    return body[:place] + b"".join(chunks) + body[place:]


def long_text(keyword: bytes = b"workflow") -> bytes:
    return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(b"x" * 2_000_000))


PNG_METADATA = [
    pytest.param(with_chunks(long_text()), id="text before the pixels"),
    pytest.param(with_chunks(long_text(), end=True), id="text behind the pixels"),
    pytest.param(with_chunks(*[chunk(b"tEXt", b"k\0" + b"x" * 3_000_000)] * 30), id="70 MB of text"),
    pytest.param(with_chunks(chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(b"x" * 2_000_000))), id="international"),
    pytest.param(with_chunks(chunk(b"tEXt", b"k\0v")[:-1] + b"!"), id="wrong checksum of a text"),
    pytest.param(with_chunks(chunk(b"iCCP", b"p\0\0" + zlib.compress(b"x" * 2_000_000))), id="large profile"),
    pytest.param(with_chunks(chunk(b"iCCP", b"p\0\7")), id="profile packed in an unknown way"),
    pytest.param(with_chunks(chunk(b"pHYs", b"\0")), id="resolution too short"),
]


@pytest.mark.parametrize("body", PNG_METADATA)
def test_large_or_broken_metadata_keeps_no_png_back(body: bytes) -> None:
    assert from_bytes(body, inline(body), ANY).body == body
    assert probe(inline(body)).width == 120
    smaller = from_bytes(body, inline(body), MediaLimits(max_pixels=2400))
    assert opened(smaller.body).size == (60, 40)


def test_orientation_in_a_png_with_large_text_counts() -> None:
    info = PngImagePlugin.PngInfo()
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    )
    info.add_itxt("XML:com.adobe.xmp", xmp)
    info.add_text("workflow", "x" * 2_000_000, zip=True)
    file = io.BytesIO()
    drawn().save(file, "PNG", pnginfo=info)
    loaded = from_bytes(file.getvalue(), inline(file.getvalue()), ANY, FitOptions(upright=True))
    assert (loaded.width, loaded.height) == (80, 120)
    assert Image.open(io.BytesIO(loaded.body or b"")).size == (80, 120)


@pytest.mark.parametrize("body", PNG_METADATA)
def test_the_embedded_service_reads_a_png_with_any_metadata(body: bytes) -> None:
    assert header(body).width == 120
    assert decode(body).size == (120, 80)


def damaged_fax() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((200, 200), 80).convert("1").save(file, "TIFF", compression="group4")
    body = bytearray(file.getvalue())
    for place in range(300, len(body) - 400, 7):
        body[place] ^= 0x5A
    return bytes(body)


def odd_tiff() -> bytes:
    """A TIFF that states 65,535 channels: Pillow logs an error."""
    body = bytearray(encoded(drawn(), "TIFF"))
    place = body.index(b"\x15\x01\x03\x00")  # tag 277, SamplesPerPixel
    body[place + 8 : place + 10] = b"\xff\xff"
    return bytes(body)


@pytest.mark.parametrize("content", [damaged_fax, odd_tiff])
@pytest.mark.parametrize(
    "call",
    [
        "from_bytes(body, inline(body), MediaLimits())",
        "from_bytes(body, inline(body), MediaLimits(formats=('PNG',)))",
        "decode(body)",
    ],
)
def test_a_damaged_tiff_prints_nothing(tmp_path: Path, call: str, content: Callable[[], bytes]) -> None:
    (tmp_path / "fax.tif").write_bytes(content())
    code = f"""
from pathlib import Path
from support.pictures import inline
from pipeline.errors import Fault
from pipeline.errors import Fault
from pipeline.media.load import from_bytes, load
from pipeline.media.load import preview
from pipeline.offline.models.image import Unreadable, decode
from pipeline.types import MediaLimits
body = Path("fax.tif").read_bytes()
try:
    {call}
except (Fault, Unreadable):
    pass
"""
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tests.parent}:{tests}"},
    )
    assert (done.returncode, done.stderr) == (0, "")


def code(call: Callable[[], object]) -> str:
    with pytest.raises(Fault) as caught:
        call()
    return caught.value.code.removeprefix("Local.")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        pytest.param(b"just some words", "NotAPicture", id="words"),
        pytest.param(b"\xff\xd8\xff", "TruncatedPicture", id="three bytes of a JPEG"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "TruncatedPicture", id="a PNG cut in its header"),
        pytest.param(b"BM" + b"\0" * 30, "DamagedPicture", id="a BMP of nothing"),
        pytest.param(encoded(drawn(), "PNG").replace(b"IHDR", b"IHDX"), "DamagedPicture", id="a PNG without header"),
        pytest.param(encoded(drawn(5, 5))[:-5], "TooSmall", id="cut and too small"),
        pytest.param(encoded(drawn(5, 5), "BMP")[:-20], "TooSmall", id="a cut BMP that is too small"),
    ],
)
def test_plan_and_run_name_a_broken_file_alike(tmp_path: Path, body: bytes, name: str) -> None:
    (tmp_path / "a.bin").write_bytes(body)
    media, limits = local(tmp_path / "a.bin"), MediaLimits(min_side=11)
    assert [code(lambda: preview(media, limits)), code(lambda: load(media, limits))] == [name, name]


def test_each_reason_against_a_file_has_a_name_of_its_own() -> None:
    whole = encoded(drawn(), "PNG")
    flat = bytearray(whole)
    flat[16:24] = b"\0" * 8
    flat[29:33] = zlib.crc32(bytes(flat[12:29])).to_bytes(4, "big")
    found = [code(partial(probe, inline(body))) for body in (b"words", whole.replace(b"IHDR", b"IHDX"), whole[:30])]
    assert found == ["NotAPicture", "DamagedPicture", "TruncatedPicture"]
    assert code(lambda: probe(inline(bytes(flat)))) == "DamagedPicture"


@pytest.mark.parametrize("form", ["TGA", "PCX", "DDS", "QOI", "SPIDER", "XBM", "MSP", "BLP"])
def test_a_rare_format_is_sent_as_png_or_jpeg(form: str) -> None:
    mode = {"SPIDER": "F", "XBM": "1", "MSP": "1", "BLP": "P"}.get(form, "RGB")
    file = io.BytesIO()
    drawn().convert(mode).save(file, form)
    loaded = load(inline(file.getvalue()), ANY_SERVER)
    assert loaded.mime in ("image/png", "image/jpeg")
    assert opened(loaded.body).size == drawn().size


def test_what_only_looks_like_a_rare_format_is_no_picture() -> None:
    tga = b"\0\0\2" + b"\7\0\7\0\7" + b"\0\0\0\0" + b"\4\0\4\0\x18\0" + bytes(48)  # colours, and no table for them
    for body in (tga, b"8BPS" + b"\0" * 60, b"DDS " + b"\xff" * 200, b"\0\1\x09" + b"a" * 60):
        with pytest.raises(Fault) as caught:
            load(inline(body), ANY_SERVER)
        assert caught.value.code == "Local.NotAPicture"
