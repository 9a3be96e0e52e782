"""Counts the tokens of a picture or a frame list by the published rule of the model family.

The rule is `smart_resize` of qwen_vl_utils 0.0.8. Every figure on the pages of the services obeys this rule exactly
(PROTOCOLS.md §3.8): sides are rounded to the nearest multiple of the patch. A picture above the cap is scaled down and
rounded down. A picture below the minimum is scaled up and rounded up. The pages themselves say that sides are rounded
up. The expected count follows `smart_resize`. The largest count is the larger of the two.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from pipeline.providers.model import TokenRule

Reading = Literal["least", "expected", "most"]


class PixelOptions(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a request says about the sizes to which the service scales pictures and frames. None: the rule's number.

    `high_resolution`: `vl_high_resolution_images`, which goes before `max_pixels` for pictures. `total_pixels`: of all
    frames of a list together.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    high_resolution: bool = False


UNSAID = PixelOptions()
"""The options of a request that says nothing about sizes."""


def pixel_options(parameters: Mapping[str, Any]) -> PixelOptions:
    """Returns the options among the parameters of a request. A value that is no positive integer is left out."""
    return PixelOptions(
        min_pixels=_integer(parameters.get("min_pixels")),
        max_pixels=_integer(parameters.get("max_pixels")),
        total_pixels=_integer(parameters.get("total_pixels")),
        high_resolution=parameters.get("vl_high_resolution_images") is True,
    )


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def fitted(width: int, height: int, patch: int, least: int, most: float) -> tuple[int, int]:
    """Returns the size in pixels (width, height) to which the service scales a picture of this size."""
    wide = max(patch, round(width / patch) * patch)
    high = max(patch, round(height / patch) * patch)
    if wide * high > most:
        scale = math.sqrt(width * height / most)
        return _down(width / scale, patch), _down(height / scale, patch)
    if wide * high < least:
        scale = math.sqrt(least / (width * height))
        return math.ceil(width * scale / patch) * patch, math.ceil(height * scale / patch) * patch
    return wide, high


def patches(size: tuple[int, int], patch: int) -> int:
    """Returns the tokens of a picture of this size (width, height) that the service does not scale, without markers."""
    wide, high = size
    return max(1, round(wide / patch)) * max(1, round(high / patch))


def within(width: int, height: int, patch: int, most: int) -> tuple[int, int]:
    """Returns the size in pixels to which the service would scale a picture for a cap of `most` tokens.

    A picture of this size has at most `most` tokens. Its sides are whole patches; those of a strip that is narrower
    than a patch are not.
    """
    wide, high = fitted(width, height, patch, 1, most * patch**2)
    if (wide // patch) * (high // patch) <= most:
        return wide, high
    factor = most * patch / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _down(side: float, patch: int) -> int:
    return max(patch, math.floor(side / patch) * patch)


def _patches(size: tuple[int, int], patch: int, least: int, most: float, reading: Reading) -> int:
    """Returns the number of patches of a picture of this size (width, height)."""
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
    options: PixelOptions = UNSAID,
    *,
    reading: Reading = "expected",
) -> int | None:
    """Returns the `image_tokens` of one picture as the reply will state them, or None if no rule is known.

    width, height: pixels of the picture that is sent. The input tokens of the reply also include the markers of the
    family.
    """
    if rule is None or width < 1 or height < 1:
        return None
    most = image_cap(rule, options)
    counted = _patches((width, height), rule.patch, options.min_pixels or rule.min_pixels, most, reading)
    return counted + stated_markers(rule)


def image_cap(rule: TokenRule, options: PixelOptions) -> int:
    """Returns the largest area in pixels to which the service scales a picture."""
    if options.high_resolution:
        return rule.hard_max_pixels
    return min(options.max_pixels or rule.max_pixels, rule.hard_max_pixels)


def stated_markers(rule: TokenRule) -> int:
    """Returns the number of markers around a picture if the picture tokens of the reply include them, else 0."""
    return rule.markers if rule.markers_counted else 0


def video_tokens(
    sizes: list[tuple[int, int]],
    rule: TokenRule | None,
    options: PixelOptions = UNSAID,
    *,
    reading: Reading = "expected",
) -> int | None:
    """Returns the `video_tokens` of a frame list of (width, height), or None if no rule is known.

    Frames count in groups of `frame_group` (2). The cap of a frame falls as the list grows, so that all frames fit
    `total_pixels`, but not below 1.05 times the least area of a frame. All frames count like the first frame. For the
    reading "most", all frames count like the largest frame.
    """
    if rule is None or not sizes or rule.frame_max_pixels is None:
        return None
    most = frame_cap(rule, len(sizes), options)
    least = rule.frame_min_pixels or rule.min_pixels
    counted = sizes if reading == "most" else sizes[:1]
    patches = max(_patches(size, rule.patch, least, most, reading) for size in set(counted))
    return math.ceil(len(sizes) / rule.frame_group) * patches + stated_markers(rule)


def frame_cap(rule: TokenRule, count: int, options: PixelOptions) -> float:
    """Returns the largest area in pixels to which the service scales each of `count` frames."""
    most: float = options.max_pixels or rule.frame_max_pixels or rule.max_pixels
    whole = options.total_pixels or rule.total_pixels
    if whole is None:
        return most
    least = rule.frame_min_pixels or rule.min_pixels
    return max(min(most, whole / count * rule.frame_group), int(least * 1.05))
