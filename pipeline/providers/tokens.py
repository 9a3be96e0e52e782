"""Counts tokens before sending: pictures and videos by each family's published rule, text by an estimate.

The rule is `smart_resize` of qwen_vl_utils 0.0.8, which every figure of the services' pages obeys exactly (protocol
reference §3.8): sides go to the nearest multiple of the patch, a picture above the cap is scaled down and rounded
down, one below the minimum scaled up and rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipeline.providers.models import Model, TokenRule
from pipeline.types import Audio, Image, Loaded, Media, Part, Request, Text, Video, VideoFile

_TURN_OVERHEAD = 5
_REQUEST_OVERHEAD = 3
_DEFAULT_SYSTEM = 11
_TEMPLATE_SLACK = 8


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


def picture_tokens(
    width: int,
    height: int,
    rule: TokenRule | None,
    *,
    high_resolution: bool = False,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> int | None:
    """The `image_tokens` of one picture as the reply will state them; None where no rule is known.

    width, height: pixels of what is sent. high_resolution: `vl_high_resolution_images`, which goes before
    `max_pixels`. Input tokens also hold the family's markers: see `picture_input`.
    """
    if rule is None or width < 1 or height < 1:
        return None
    most = _picture_cap(rule, high_resolution, max_pixels)
    wide, high = fitted(width, height, rule.patch, min_pixels or rule.min_pixels, most)
    return (wide // rule.patch) * (high // rule.patch) + (rule.markers if rule.markers_counted else 0)


def _picture_cap(rule: TokenRule, high_resolution: bool, max_pixels: int | None) -> int:
    return rule.hard_max_pixels if high_resolution else min(max_pixels or rule.max_pixels, rule.hard_max_pixels)


def video_tokens(
    sizes: list[tuple[int, int]], rule: TokenRule | None, *, max_pixels: int | None = None, total: int | None = None
) -> int | None:
    """The `video_tokens` of a frame list of (width, height); None where no rule is known.

    Frames count in pairs. A frame's cap falls as the list grows, so that all fit `total_pixels`, but not under 1.05
    times the least area of a frame. The first frame's size stands for all.
    """
    if rule is None or not sizes or rule.frame_max_pixels is None:
        return None
    most = _frame_cap(rule, len(sizes), max_pixels, total)
    wide, high = fitted(*sizes[0], rule.patch, rule.frame_min_pixels or rule.min_pixels, most)
    groups = math.ceil(len(sizes) / rule.frame_group)
    return groups * (wide // rule.patch) * (high // rule.patch) + (rule.markers if rule.markers_counted else 0)


def _frame_cap(rule: TokenRule, count: int, max_pixels: int | None, total: int | None) -> float:
    most: float = max_pixels or rule.frame_max_pixels or rule.max_pixels
    whole = total or rule.total_pixels
    if whole is None:
        return most
    least = rule.frame_min_pixels or rule.min_pixels
    return max(min(most, whole / count * rule.frame_group), int(least * 1.05))


def text_tokens(text: str, *, upper: bool = True) -> int:
    """An estimate without a tokenizer. `upper`: one token per UTF-8 byte, which no byte-level vocabulary exceeds;
    else the expected number, one per four ASCII characters and one per other character."""
    if upper:
        return len(text.encode("utf-8", "surrogatepass"))
    ascii_count = sum(character.isascii() for character in text)
    return math.ceil(ascii_count / 4) + len(text) - ascii_count


def estimate(request: Request, model: Model, *, upper: bool = True) -> int | None:
    """Input tokens of a whole request; None if its pictures cannot be counted.

    An upper bound (`upper`), or what is expected. Pictures of unknown size (URLs that the service fetches) count
    with the most a picture can have. The frame of a chat: 5 per turn, 3 at the end, 11 for the default system
    message, and 8 for what templates differ by (protocol reference §3.8).
    """
    parts = [part for turn in request.turns for part in turn.parts] + [item.part for item in request.items]
    total = 0
    for part in parts:
        counted = _part_tokens(part, model, request.parameters, upper)
        if counted is None:
            return None
        total += counted
    if request.task == "embed":
        return total
    system = 0 if any(turn.role == "system" for turn in request.turns) else _DEFAULT_SYSTEM
    total += _TURN_OVERHEAD * len(request.turns) + _REQUEST_OVERHEAD + system
    return total + (_TEMPLATE_SLACK if upper else 0)


def _part_tokens(part: Part, model: Model, parameters: Mapping[str, Any], upper: bool) -> int | None:
    if isinstance(part, Text):
        return text_tokens(part.text, upper=upper)
    if isinstance(part, Audio | VideoFile) or model.tokens is None:
        return None
    rule = model.tokens
    counted = _image(part, rule, parameters) if isinstance(part, Image) else _video(part, rule, parameters)
    return None if counted is None else counted + (0 if rule.markers_counted else rule.markers)


def _image(part: Image, rule: TokenRule, parameters: Mapping[str, Any]) -> int | None:
    high = parameters.get("vl_high_resolution_images") is True
    least, most = _whole(parameters.get("min_pixels")), _whole(parameters.get("max_pixels"))
    size = _size(part.media)
    if size is None:
        return _most(_picture_cap(rule, high, most), rule)
    return picture_tokens(*size, rule, high_resolution=high, min_pixels=least, max_pixels=most)


def _video(part: Video, rule: TokenRule, parameters: Mapping[str, Any]) -> int | None:
    most, total = _whole(parameters.get("max_pixels")), _whole(parameters.get("total_pixels"))
    sizes = [size for frame in part.frames if (size := _size(frame)) is not None]
    if sizes and len(sizes) == len(part.frames):
        return video_tokens(sizes, rule, max_pixels=most, total=total)
    if rule.frame_max_pixels is None or not part.frames:
        return None
    groups = math.ceil(len(part.frames) / rule.frame_group)
    return groups * _most(_frame_cap(rule, len(part.frames), most, total), rule)


def _most(pixels: float, rule: TokenRule) -> int:
    return int(pixels // rule.patch**2) + (rule.markers if rule.markers_counted else 0)


def _whole(value: Any) -> int | None:
    """A pixel count of a parameter; of a list (one value per picture) the largest."""
    if isinstance(value, list | tuple):
        return max((found for item in value if (found := _whole(item)) is not None), default=None)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _size(media: Media | Loaded) -> tuple[int, int] | None:
    if isinstance(media, Loaded) and media.width and media.height:
        return media.width, media.height
    return None
