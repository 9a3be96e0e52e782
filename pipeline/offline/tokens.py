"""Counts tokens as the services do: pictures by their published rule, text by a stated approximation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import ceil, floor, sqrt

import msgspec

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_QIANFAN_IMAGE = 1500  # two pictures of the documents' sample came to about 3000; no formula is published


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """Pixels a side of a token; least and most pixels of a picture and of a frame; tokens that mark a picture.

    `counted`: whether the marks are part of `image_tokens` (newer models) or of the input only (older ones).
    """

    unit: int
    least: int
    most: int
    most_high: int
    frame_least: int
    frame_most: int
    frames_total: int
    counted: bool


# Alibaba Cloud's OpenAI-compatible reference of mid-2026 and qwen_vl_utils 0.0.8
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
# 32×32 pixels a token, 4 to 1280 tokens a picture: the same help's page on Qwen-Omni, 2026
_OMNI = msgspec.structs.replace(_NEW, least=4 * 1024, most=1280 * 1024)
_OCR = msgspec.structs.replace(_NEW, least=3072, most=8_388_608)


def grid_of(model: str) -> Grid | None:
    """The rule of a model by its family; None where pictures cost no tokens of their own (Llama 3.2)."""
    name = model.lower()
    if name.startswith("llama3.2"):
        return None
    if "ocr" in name:
        return _OCR
    if re.match(r"qwen3(?:\.\d)?-omni", name):
        return _OMNI
    return _NEW if re.match(r"qwen3|qwen-vl-(?:max|plus)-2025-08", name) else _OLD


def text_tokens(text: str) -> int:
    """About one a CJK character and one for every four other characters, rounded up."""
    wide = len(_CJK.findall(text))
    return wide + ceil((len(text) - wide) / 4)


class Pixels(msgspec.Struct, frozen=True, kw_only=True):
    """What a part may say instead of its model's own bounds: `min_pixels`, `max_pixels`, `total_pixels`."""

    least: int | None = None
    most: int | None = None
    total: int | None = None


def image_tokens(
    width: int, height: int, grid: Grid, *, pixels: Pixels | None = None, high_resolution: bool = False
) -> int:
    """Tokens of one picture without the two marks. In high resolution `max_pixels` is ignored, as the page says."""
    asked = pixels or Pixels()
    least, most = asked.least or grid.least, asked.most or grid.most
    tall, wide = _fit(height, width, grid.unit, least, grid.most_high if high_resolution else max(least, most))
    return tall * wide


def video_tokens(sizes: Sequence[tuple[int, int]], grid: Grid, *, pixels: Pixels | None = None) -> int:
    """Tokens of a frame list given as (width, height): frames count in pairs, all at the first one's size."""
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
    """Tokens of a second of sound, and whether that is the model's documented rule or an estimate.

    25 a second: Qwen-Omni-Turbo and Qwen2.5-Omni; 12.5: Qwen3-Omni (Model Studio's page on Qwen-Omni, 2025 and 2026).
    """
    name = model.lower()
    if re.match(r"qwen-omni|qwen2\.5-omni|qwen2?-audio", name):
        return 25.0, True
    return 12.5, name.startswith("qwen3-omni")


def audio_tokens(seconds: float, model: str) -> int:
    """Less than a second counts as one."""
    return ceil(max(1.0, seconds) * audio_rate(model)[0])


def _fit(height: int, width: int, unit: int, least: int, most: int) -> tuple[int, int]:
    """Rows and columns of tokens: sides to the nearest multiple, then down over the cap or up under the floor."""
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
