"""How many tokens a picture or a frame list is, by each family's published rule.

The rule is `smart_resize` of qwen_vl_utils 0.0.8, which every figure of the services' pages obeys exactly (PROTOCOLS.md
§3.8): sides go to the nearest multiple of the patch, a picture above the cap is scaled down and rounded
down, one below the minimum scaled up and rounded up. The pages themselves say that sides are rounded up. What is
expected is counted by the first rule, what may come at most by the larger of the two.
"""

from __future__ import annotations

import math
from typing import Literal

from pipeline.providers.models import TokenRule

Reading = Literal["least", "expected", "most"]


def fitted(width: int, height: int, patch: int, least: int, most: float) -> tuple[int, int]:
    """The size in pixels (width, height) at which the service looks at a picture of this size."""
    wide = max(patch, round(width / patch) * patch)
    high = max(patch, round(height / patch) * patch)
    if wide * high > most:
        scale = math.sqrt(width * height / most)
        return _down(width / scale, patch), _down(height / scale, patch)
    if wide * high < least:
        scale = math.sqrt(least / (width * height))
        return math.ceil(width * scale / patch) * patch, math.ceil(height * scale / patch) * patch
    return wide, high


def _down(side: float, patch: int) -> int:
    return max(patch, math.floor(side / patch) * patch)


def _patches(size: tuple[int, int], patch: int, least: int, most: float, reading: Reading) -> int:
    """How many patches a picture of this size (width, height) is."""
    wide, high = fitted(*size, patch, least, most)
    counted = (wide // patch) * (high // patch)
    if reading != "most" or round(size[0] / patch) * round(size[1] / patch) * patch**2 > most:
        return counted
    rounded_up = math.ceil(size[0] / patch) * math.ceil(size[1] / patch)
    return max(counted, min(rounded_up, int(most // patch**2)))


def image_tokens(
    width: int,
    height: int,
    rule: TokenRule | None,
    *,
    high_resolution: bool = False,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    reading: Reading = "expected",
) -> int | None:
    """The `image_tokens` of one picture as the reply will state them; None where no rule is known.

    width, height: pixels of what is sent. high_resolution: `vl_high_resolution_images`, which goes before
    `max_pixels`. Input tokens also hold the family's markers.
    """
    if rule is None or width < 1 or height < 1:
        return None
    most = image_cap(rule, high_resolution, max_pixels)
    counted = _patches((width, height), rule.patch, min_pixels or rule.min_pixels, most, reading)
    return counted + stated_markers(rule)


def image_cap(rule: TokenRule, high_resolution: bool, max_pixels: int | None) -> int:
    """The largest area in pixels at which a picture is looked at."""
    return rule.hard_max_pixels if high_resolution else min(max_pixels or rule.max_pixels, rule.hard_max_pixels)


def stated_markers(rule: TokenRule) -> int:
    """The markers around a picture, where the reply's picture tokens include them."""
    return rule.markers if rule.markers_counted else 0


def video_tokens(
    sizes: list[tuple[int, int]],
    rule: TokenRule | None,
    *,
    max_pixels: int | None = None,
    total: int | None = None,
    reading: Reading = "expected",
) -> int | None:
    """The `video_tokens` of a frame list of (width, height); None where no rule is known.

    Frames count in pairs. A frame's cap falls as the list grows, so that all fit `total_pixels`, but not under 1.05
    times the least area of a frame. The first frame's size stands for all; at most, the largest count does.
    """
    if rule is None or not sizes or rule.frame_max_pixels is None:
        return None
    most = frame_cap(rule, len(sizes), max_pixels, total)
    least = rule.frame_min_pixels or rule.min_pixels
    counted = sizes if reading == "most" else sizes[:1]
    patches = max(_patches(size, rule.patch, least, most, reading) for size in set(counted))
    return math.ceil(len(sizes) / rule.frame_group) * patches + stated_markers(rule)


def frame_cap(rule: TokenRule, count: int, max_pixels: int | None, total: int | None) -> float:
    """The largest area in pixels at which each of `count` frames is looked at."""
    most: float = max_pixels or rule.frame_max_pixels or rule.max_pixels
    whole = total or rule.total_pixels
    if whole is None:
        return most
    least = rule.frame_min_pixels or rule.min_pixels
    return max(min(most, whole / count * rule.frame_group), int(least * 1.05))
