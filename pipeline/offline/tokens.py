"""Counts tokens as the services do: pictures by the published rule, text by an approximation that is stated here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, floor, sqrt

import msgspec

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_QIANFAN_IMAGE = 1500  # in the sample on Qianfan's page, two pictures were about 3000 tokens; no formula is published


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """The rule by which a model family counts pictures.

    `unit`: the side of a token in pixels. The other numbers are areas in pixels: the least and the most of a picture
    (`most_high` in high resolution) and of a frame, and the most of all frames of a video. `counted`: the two tokens
    that mark a picture are part of `image_tokens` (newer models), or else of the input only (older models).
    """

    unit: int
    least: int
    most: int
    most_high: int
    frame_least: int
    frame_most: int
    frames_total: int
    counted: bool


# Sources: Alibaba Cloud's OpenAI-compatible reference of mid-2026, and qwen_vl_utils 0.0.8
_OLD = Grid(
    unit=28,
    least=3136,
    most=1_003_520,
    most_high=12_845_056,
    frame_least=100_352,
    frame_most=602_112,
    frames_total=24_576 * 784,
    counted=False,
)
_NEW = Grid(
    unit=32,
    least=65_536,
    most=2_621_440,
    most_high=16_777_216,
    frame_least=65_536,
    frame_most=655_360,
    frames_total=67_108_864,
    counted=True,
)
# 32×32 pixels a token, 4 to 1280 tokens a picture (source: Alibaba Cloud's page on Qwen-Omni, 2026)
_OMNI = msgspec.structs.replace(_NEW, least=4 * 1024, most=1280 * 1024)
_OCR = msgspec.structs.replace(_NEW, least=3072, most=8_388_608)


def grid_of(model: str) -> Grid | None:
    """Returns the rule of a model's family, or None if pictures cost no tokens (Llama 3.2)."""
    name = model.lower()
    if name.startswith("llama3.2"):
        return None
    if "ocr" in name:
        return _OCR
    if re.match(r"qwen3(?:\.\d)?-omni", name):
        return _OMNI
    return _NEW if re.match(r"qwen3|qwen-vl-(?:max|plus)-2025-08", name) else _OLD


def text_tokens(text: str) -> int:
    """Returns one token per CJK character plus one per four other characters, rounded up. This is an approximation."""
    wide = len(_CJK.findall(text))
    return wide + ceil((len(text) - wide) / 4)


class Pixels(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds that a part may set instead of the model's bounds: `min_pixels`, `max_pixels`, `total_pixels`."""

    least: int | None = None
    most: int | None = None
    total: int | None = None


def image_tokens(
    width: int, height: int, grid: Grid, *, pixels: Pixels | None = None, high_resolution: bool = False
) -> int:
    """Returns the tokens of one picture without the two marks. In high resolution, `max_pixels` is ignored, as the page
    says."""
    asked = pixels or Pixels()
    least, most = asked.least or grid.least, asked.most or grid.most
    tall, wide = _fit(height, width, grid.unit, least, grid.most_high if high_resolution else max(least, most))
    return tall * wide


def video_tokens(sizes: Sequence[tuple[int, int]], grid: Grid, *, pixels: Pixels | None = None) -> int:
    """Returns the tokens of a frame list of (width, height). Frames count in pairs, all with the first frame's size."""
    if not sizes:
        return 0
    asked = pixels or Pixels()
    least = asked.least or grid.frame_least
    share = (asked.total or grid.frames_total) * 2 // len(sizes)
    most = max(min(grid.frame_most, share), int(least * 1.05))
    most = max(least, min(most, asked.most) if asked.most else most)
    width, height = sizes[0]
    tall, wide = _fit(height, width, grid.unit, least, most)
    return ceil(len(sizes) / 2) * tall * wide


def audio_rate(model: str) -> tuple[float, bool]:
    """Returns the tokens of a second of sound, and True if this is the documented rule of the model, False for an
    estimate.

    25 a second: Qwen-Omni-Turbo and Qwen2.5-Omni; 12.5: Qwen3-Omni (Model Studio's page on Qwen-Omni, 2025 and 2026).
    """
    name = model.lower()
    if re.match(r"qwen-omni|qwen2\.5-omni|qwen2?-audio", name):
        return 25.0, True
    return 12.5, name.startswith("qwen3-omni")


def audio_tokens(seconds: float, model: str) -> int:
    """Returns the tokens of a sound. Less than a second counts as one second."""
    return ceil(max(1.0, seconds) * audio_rate(model)[0])


def _fit(height: int, width: int, unit: int, least: int, most: int) -> tuple[int, int]:
    """Returns rows and columns of tokens.

    The sides are rounded to the nearest multiple of `unit`. A picture above `most` pixels is scaled down, a picture
    below `least` pixels is scaled up.
    """
    tall, wide = max(1, round(height / unit)), max(1, round(width / unit))
    if tall * wide * unit * unit > most:
        scale = sqrt(height * width / most)
        return max(1, floor(height / scale / unit)), max(1, floor(width / scale / unit))
    if tall * wide * unit * unit < least:
        scale = sqrt(least / (height * width))
        return ceil(height * scale / unit), ceil(width * scale / unit)
    return tall, wide


def qianfan_image_tokens() -> int:
    return _QIANFAN_IMAGE
