"""HEIC and AVIF, as phones and web sites give them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import AvifImagePlugin, Image
from support.pictures import drawn, encoded, inline, local, opened

from pipeline.errors import Fault
from pipeline.media.load import from_bytes, preview
from pipeline.media.probe import probe
from pipeline.types import MediaLimits

TAKEN = MediaLimits(formats=("JPEG", "PNG"))


def heic(image: Image.Image, exif: Image.Exif | None = None) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    file = io.BytesIO()
    image.save(file, "HEIF", quality=90, **({"exif": exif.tobytes()} if exif else {}))
    return file.getvalue()


@pytest.mark.parametrize("form", ["HEIF", "AVIF"])
def test_heic_and_avif_are_written_as_jpeg(form: str) -> None:
    body = heic(drawn(128, 96)) if form == "HEIF" else encoded(drawn(128, 96), "AVIF")
    facts = probe(inline(body))
    assert (facts.format, facts.width, facts.height) == (form, 128, 96)
    loaded = from_bytes(body, inline(body), TAKEN)
    image = opened(loaded.body)
    assert (image.format, image.size, loaded.mime) == ("JPEG", (128, 96), "image/jpeg")
    red = image.getpixel((5, 5))
    assert isinstance(red, tuple)
    assert red[0] > 200
    assert red[1] < 60


def test_the_turn_of_a_phone_is_kept() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = heic(drawn(128, 96), exif)
    assert preview(inline(body), TAKEN) == (96, 128)
    assert opened(from_bytes(body, inline(body), TAKEN).body).size == (96, 128)


def test_without_pillow_heif_the_refusal_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = heic(drawn())
    (tmp_path / "a.heic").write_bytes(body)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for call in (lambda media: preview(media, TAKEN), lambda media: from_bytes(body, media, TAKEN)):
        with pytest.raises(Fault) as caught:
            call(local(tmp_path / "a.heic"))
        assert caught.value.code == "Local.MissingExtra"
        assert "multimodal-batch[heif]" in caught.value.message


def test_a_pillow_without_avif_says_which_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    body = encoded(drawn(), "AVIF")
    monkeypatch.setattr(AvifImagePlugin, "SUPPORTED", False)
    with pytest.raises(Fault, match=r"MissingExtra.*Pillow 11\.3"):
        from_bytes(body, inline(body), TAKEN)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1", b"msf1"])
def test_a_damaged_heic_is_refused_by_name(brand: bytes) -> None:
    for body in (b"\0\0\0\x18ftyp" + brand + b"\0" * 40, heic(drawn())[:200]):
        with pytest.raises(Fault, match=r"DamagedPicture|TruncatedPicture"):
            from_bytes(body, inline(body), TAKEN)
