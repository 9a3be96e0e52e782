from __future__ import annotations

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs
from support.manifests import outcome
from support.pictures import drawn, encoded, inline, opened, sound, turned

from pipeline.media.limits import FitOptions, encoded_size, scaled
from pipeline.media.load import from_bytes, load, preview
from pipeline.types import Media, MediaLimits

LIMITS = st.builds(
    MediaLimits,
    formats=st.sampled_from([None, ("JPEG",), ("PNG",), ("JPEG", "PNG"), ("WEBP",), ("BMP", "PNG")]),
    max_bytes=st.one_of(st.none(), st.integers(600, 30_000)),
    max_encoded_bytes=st.one_of(st.none(), st.integers(900, 30_000)),
    max_pixels=st.one_of(st.none(), st.integers(1, 30_000)),
    min_side=st.one_of(st.none(), st.integers(1, 12)),
    max_side=st.one_of(st.none(), st.integers(1, 300)),
    max_ratio=st.one_of(st.none(), st.floats(1, 200)),
    useful_pixels=st.one_of(st.none(), st.integers(1, 30_000)),
)
# A format that can be written is named in every case above, so that Format is never the answer.
REPAIRLESS = ("Local.TooSmall", "Local.Ratio", "Local.TooLarge")
FORMS = st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
MODES = st.sampled_from(["RGB", "L", "P", "1", "RGBA", "CMYK"])


def made(form: str, mode: str, width: int, height: int) -> bytes:
    if form == "JPEG" and mode in ("RGBA", "P", "1"):
        mode = "RGB"
    if form in ("PNG", "WEBP", "GIF", "BMP") and mode == "CMYK":
        mode = "RGB"
    return encoded(drawn(width, height, mode), form)


def keeps(body: bytes, loaded: Any, limits: MediaLimits) -> None:
    image = opened(body)
    form = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/bmp": "BMP"}.get(
        loaded.mime, image.format
    )
    assert image.format == form
    assert limits.formats is None or image.format in limits.formats
    assert limits.max_bytes is None or len(body) <= limits.max_bytes
    assert limits.max_encoded_bytes is None or encoded_size(len(body)) <= limits.max_encoded_bytes
    assert limits.max_pixels is None or image.width * image.height <= limits.max_pixels
    assert limits.max_side is None or max(image.size) <= limits.max_side
    assert limits.min_side is None or min(image.size) >= limits.min_side
    assert limits.max_ratio is None or max(image.size) <= min(image.size) * limits.max_ratio


@settings(max_examples=150, deadline=None)
@given(FORMS, MODES, st.integers(1, 400), st.integers(1, 200), LIMITS)
def test_after_fitting_every_limit_holds_or_the_picture_is_refused(
    form: str, mode: str, width: int, height: int, limits: MediaLimits
) -> None:
    body = made(form, mode, width, height)
    loaded, code = outcome(lambda: from_bytes(body, inline(body), limits))
    if loaded is None:
        assert code in REPAIRLESS
        return
    assert loaded.body is not None
    keeps(loaded.body, loaded, limits)
    assert (loaded.original_width, loaded.original_height) == (width, height)
    assert (loaded.body == body) == (loaded.changed is None)
    assert opened(loaded.body).size == (loaded.width, loaded.height)


@settings(max_examples=60, deadline=None)
@given(FORMS, st.integers(1, 300), st.integers(1, 200), LIMITS, st.booleans())
def test_a_preview_gives_the_size_that_loading_sends(
    form: str, width: int, height: int, limits: MediaLimits, upright: bool
) -> None:
    limits = structs.replace(limits, max_bytes=None, max_encoded_bytes=None, useful_pixels=None)
    media = inline(made(form, "RGB", width, height))
    loaded, refused = outcome(lambda: load(media, limits, FitOptions(upright=upright)))
    size, foreseen = outcome(lambda: preview(media, limits, FitOptions(upright=upright)))
    if loaded is not None:
        assert size == (loaded.width, loaded.height)
    assert foreseen is None or foreseen == refused


@settings(max_examples=60, deadline=None)
@given(FORMS, st.integers(12, 200), st.integers(12, 200), LIMITS)
def test_without_resizing_a_picture_is_sent_to_the_byte_or_refused(
    form: str, width: int, height: int, limits: MediaLimits
) -> None:
    body = made(form, "RGB", width, height)
    loaded, _ = outcome(lambda: from_bytes(body, inline(body), limits, FitOptions(resize="off")))
    if loaded is None:
        return
    assert loaded.body == body
    keeps(body, loaded, limits)


@given(st.integers(1, 20_000), st.integers(1, 20_000), LIMITS)
def test_scaling_keeps_the_shape_and_the_bounds(width: int, height: int, limits: MediaLimits) -> None:
    assume(limits.max_ratio is None or max(width, height) <= min(width, height) * limits.max_ratio)
    across, down = scaled(width, height, limits)
    assert 1 <= across <= width
    assert 1 <= down <= height
    for most in (limits.max_pixels, limits.useful_pixels):
        assert most is None or across * down <= most
    assert limits.max_ratio is None or max(across, down) <= min(across, down) * limits.max_ratio
    assert limits.max_side is None or max(across, down) <= limits.max_side


@settings(max_examples=150, deadline=None)
@given(FORMS, st.data())
def test_any_damage_gives_a_picture_or_a_refusal(form: str, data: st.DataObject) -> None:
    body = bytearray(made(form, "RGB", 40, 30))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=8)):
        body[place] = value
    cut = bytes(body[: data.draw(st.integers(0, len(body)))])
    limits = MediaLimits(formats=("JPEG",), max_pixels=600)
    loaded, code = outcome(lambda: from_bytes(cut, inline(cut), limits))
    assert code is None or code.startswith("Local.")
    if loaded is not None:
        assert loaded.body is not None
        keeps(loaded.body, loaded, limits)


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=60),
    st.sampled_from([b"fLaC", b"ID3", b"\xff\xfb\x90\x00", sound(0.01), b"RIFF\x00\x00\x00\x00WAVE"]),
)
def test_any_bytes_as_a_sound_are_a_sound_or_a_refusal(rest: bytes, start: bytes) -> None:
    body = start + rest
    media = Media(kind="audio", ref="data:,", data=body)
    loaded, code = outcome(lambda: from_bytes(body, media, MediaLimits()))
    assert code in (None, "Local.NotASound", "Local.TruncatedSound")
    if loaded is not None:
        assert loaded.seconds is None or loaded.seconds > 0


@given(st.sampled_from(range(1, 9)), st.integers(20, 200), st.integers(20, 200))
@settings(max_examples=40, deadline=None)
def test_the_original_size_is_the_one_people_see(orientation: int, width: int, height: int) -> None:
    body = turned(orientation, width, height)
    loaded = from_bytes(body, inline(body), MediaLimits())
    seen = (height, width) if orientation >= 5 else (width, height)
    assert (loaded.original_width, loaded.original_height) == seen
