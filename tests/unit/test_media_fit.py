from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, ImageCms
from support.pictures import drawn, encoded, inline, noise, opened, turned

from pipeline.errors import Fault
from pipeline.media.limits import FitOptions
from pipeline.media.load import from_bytes
from pipeline.types import Loaded, MediaLimits


def fitted(body: bytes, resize: Literal["fit", "off"] = "fit", *, upright: bool = False, **limits: object) -> Loaded:
    options = FitOptions(resize=resize, upright=upright)
    return from_bytes(body, inline(body), MediaLimits(**limits), options)  # type: ignore[arg-type]


def near(pixel: object, colour: tuple[int, ...]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) < 24 for a, b in zip(pixel, colour, strict=True))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_written_anew_stands_upright(orientation: int) -> None:
    upright = drawn(120, 80)
    inverse = {2: 0, 3: 1, 4: 2, 5: 3, 6: 4, 7: 5, 8: 6}
    methods = [
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE,
        Image.Transpose.ROTATE_90,
        Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_270,
    ]
    stored = upright.transpose(methods[inverse[orientation]]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = fitted(encoded(stored, quality=95, exif=exif), max_pixels=2400)
    image = opened(loaded.body)
    assert image.size == (loaded.width, loaded.height) == (60, 40)
    assert (loaded.original_width, loaded.original_height) == (120, 80)
    assert near(image.getpixel((5, 5)), (254, 0, 0))
    assert near(image.getpixel((55, 36)), (0, 0, 254))
    assert image.getexif().get(0x0112, 1) == 1
    assert ("turned upright" in (loaded.changed or "")) == (orientation != 1)


def test_a_turned_picture_that_fits_stays_untouched_unless_upright_is_asked_for() -> None:
    body = turned(6, 120, 80)
    loaded = fitted(body)
    assert (loaded.body, loaded.changed) == (body, None)
    assert (loaded.width, loaded.height, loaded.original_width) == (80, 120, 80)
    assert opened(fitted(body, upright=True).body).size == (80, 120)


def test_cmyk_becomes_rgb_with_its_colours() -> None:
    loaded = fitted(encoded(drawn(mode="CMYK"), quality=95))
    image = opened(loaded.body)
    assert image.mode == "RGB"
    assert near(image.getpixel((5, 5)), (254, 0, 0))
    assert "CMYK to RGB" in (loaded.changed or "")


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    grey = Image.fromarray(np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64))
    image = opened(fitted(encoded(grey, "PNG")).body)
    assert image.mode == "L"
    assert image.getpixel((0, 0)) == 0
    assert image.getpixel((63, 63)) == 255
    assert abs(int(image.getpixel((0, 32))) - 128) <= 1  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["TIFF"])
def test_wide_numbers_are_scaled_by_their_own_range(form: str) -> None:
    values = Image.fromarray(np.linspace(-1.0, 3.0, 64 * 64).astype(np.float32).reshape(64, 64))
    image = opened(fitted(encoded(values, form), formats=("PNG",)).body)
    assert (image.getpixel((0, 0)), image.getpixel((63, 63))) == (0, 255)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_an_animation_becomes_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "lime", "blue")]
    body = encoded(
        frames[0], form, save_all=True, append_images=frames[1:], **({"lossless": True} if form == "WEBP" else {})
    )
    loaded = fitted(body)
    image = opened(loaded.body)
    assert not getattr(image, "is_animated", False)
    assert near(image.convert("RGB").getpixel((20, 15)), (255, 0, 0))
    assert "first frame" in (loaded.changed or "")
    assert fitted(body, "off").body == body


def test_transparency_is_kept_where_the_format_can_and_put_on_white_where_not() -> None:
    image = drawn(mode="RGBA")
    image.paste((0, 0, 0, 0), (40, 20, 80, 60))
    body = encoded(image, "PNG")
    white = fitted(body, formats=("JPEG",))
    assert near(opened(white.body).getpixel((60, 40)), (255, 255, 255))
    assert "put on white" in (white.changed or "")
    kept = opened(fitted(body, formats=("JPEG", "PNG"), max_pixels=2400).body)
    assert (kept.mode, kept.getpixel((30, 20))[3]) == ("RGBA", 0)  # type: ignore[index]
    palette = image.convert("RGB").quantize(16)
    palette.info["transparency"] = 0
    assert opened(fitted(encoded(palette, "GIF"), formats=("JPEG",)).body).mode == "RGB"


def test_colours_of_another_profile_are_turned_into_srgb() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    assert lab is not None
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = bytearray(srgb)
    swapped[:] = srgb.replace(b"rXYZ", b"\0XYZ").replace(b"bXYZ", b"rXYZ").replace(b"\0XYZ", b"bXYZ")
    for name in (b"rTRC", b"bTRC"):
        assert name in swapped
    named = bytes(swapped).replace("sRGB".encode("utf-16-be"), "odd!".encode("utf-16-be"))
    body = encoded(drawn(), quality=95, icc_profile=named)
    loaded = fitted(body, max_pixels=2400)
    image = opened(loaded.body)
    assert "colours to sRGB" in (loaded.changed or "")
    assert near(image.getpixel((5, 5)), (0, 0, 254))
    assert "icc_profile" not in image.info
    plain = fitted(encoded(drawn(), quality=95, icc_profile=srgb), max_pixels=2400)
    assert "sRGB" not in (plain.changed or "")
    broken = fitted(encoded(drawn(), quality=95, icc_profile=b"not a profile"), max_pixels=2400)
    assert near(opened(broken.body).getpixel((5, 5)), (254, 0, 0))


def test_metadata_does_not_travel_with_what_is_written_anew() -> None:
    exif = Image.Exif()
    exif[0x010E] = "at home"
    body = encoded(drawn(), exif=exif)
    assert b"at home" in body
    assert b"at home" not in (fitted(body, max_pixels=2400).body or b"")


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"formats": ("PNG", "WEBP")}, "Format"),
        ({"max_pixels": 9_599}, "TooManyPixels"),
        ({"max_side": 119}, "TooLongSide"),
        ({"max_bytes": 1200}, "TooLarge"),
        ({"max_encoded_bytes": 1600}, "TooLarge"),
    ],
)
def test_resize_off_refuses_what_fit_repairs(limits: dict[str, Any], code: str) -> None:
    body = encoded(drawn())
    with pytest.raises(Fault, match=rf"Local\.{code}: .*the model takes"):
        fitted(body, "off", **limits)
    loaded = fitted(body, **limits)
    assert loaded.changed
    assert loaded.body != body


def test_resize_off_leaves_what_the_service_would_downscale() -> None:
    body = encoded(drawn(mode="CMYK"))
    assert fitted(body, "off", useful_pixels=100).body == body


def test_bytes_come_down_by_quality_first_and_pixels_then() -> None:
    body = encoded(noise(400, 300), quality=95)
    soft = fitted(body, max_bytes=len(body) * 6 // 10)
    assert (soft.width, soft.height) == (400, 300)
    hard = fitted(body, max_encoded_bytes=len(body) // 10)
    assert (hard.width or 0) < 400
    assert 4 * -(-len(hard.body or b"") // 3) <= len(body) // 10
    assert "downscaled from 400×300" in (hard.changed or "")


def test_what_cannot_be_made_to_fit_is_refused_with_the_numbers() -> None:
    body = encoded(noise(400, 300))
    with pytest.raises(Fault, match=r"Local\.TooLarge: .*400×300, .* bytes; it cannot be made to fit .*50 bytes"):
        fitted(body, max_bytes=50)
    with pytest.raises(Fault, match=r"Local\.Format: .*none of which can be written"):
        fitted(body, formats=("ICNS",))
    with pytest.raises(Fault, match=r"Local\.TooLarge"):
        fitted(body, max_pixels=100, min_side=50)


def test_a_drawing_stays_lossless_and_a_photograph_becomes_jpeg() -> None:
    assert fitted(encoded(drawn(), "PNG"), max_pixels=2400).mime == "image/png"
    assert fitted(encoded(drawn(), "BMP"), formats=("JPEG", "PNG")).mime == "image/jpeg"
    assert fitted(encoded(drawn(), "PNG"), formats=("BMP",)).mime == "image/bmp"
    assert fitted(encoded(drawn(mode="1"), "TIFF"), formats=("JPEG", "PNG")).mime == "image/png"


def test_useful_pixels_downscale_only_where_bytes_are_saved() -> None:
    small = encoded(drawn(200, 100), quality=10)
    assert fitted(small, useful_pixels=19_000).body == small
    large = encoded(noise(800, 600))
    assert (fitted(large, useful_pixels=48_000).width or 0) <= 253


def test_pictures_between_pillows_warning_and_the_bound_raise_no_warning() -> None:
    body = encoded(Image.new("1", (12_000, 8_000)), "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted(body).body == body


def test_a_picture_of_too_many_tokens_is_made_smaller_even_if_no_bytes_are_saved() -> None:
    flat = encoded(drawn(640, 480), "PNG")  # 300 tokens of 32 pixels
    assert fitted(flat, patch=32, max_patches=300).body == flat
    smaller = fitted(flat, patch=32, max_patches=299)
    assert (smaller.width, smaller.height) == (608, 448)
    assert opened(smaller.body).size == (608, 448)
    assert "downscaled from 640×480" in (smaller.changed or "")
    sideways = fitted(turned(6, 640, 480), patch=32, max_patches=100)
    assert (sideways.width, sideways.height) == (256, 352)


def test_a_frame_needs_no_more_pixels_than_its_tokens() -> None:
    assert MediaLimits(useful_pixels=9_000).frame_pixels == 9_000
    assert MediaLimits(useful_pixels=9_000, patch=28, max_patches=10).frame_pixels == 7_840
    assert MediaLimits(useful_pixels=5_000, patch=28, max_patches=10).frame_pixels == 5_000
