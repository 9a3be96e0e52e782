"""The options that stand on a part of a message, checked as the services' pages print them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.offline import parameter_checks
from pipeline.offline.error_replies import Refusal
from pipeline.offline.tokens import Grid, Pixels

_DETAILS = (None, "auto", "low", "high")
_MOST_TOTAL = 819_200_000  # the widest of the newer models' table


def pixels(part: Mapping[str, Any], grid: Grid | None) -> Pixels:
    """`min_pixels`, `max_pixels` and, on a video, `total_pixels`. Raises Refusal."""
    most_high = grid.most_high if grid is not None else None
    least = parameter_checks.integer(part, "min_pixels", 1, most_high)
    most = parameter_checks.integer(part, "max_pixels", 1, most_high)
    if least is not None and most is not None and least > most:
        raise Refusal("parameter", f"min_pixels ({least}) should not be greater than max_pixels ({most})")
    return Pixels(least=least, most=most, total=parameter_checks.integer(part, "total_pixels", 1, _MOST_TOTAL))


def marks(part: Mapping[str, Any]) -> None:
    """`cache_control` and `enable_rotate`, which change nothing here. Raises Refusal."""
    mark = part.get("cache_control")
    if mark is not None and (not isinstance(mark, Mapping) or mark.get("type") != "ephemeral"):
        raise Refusal("parameter", 'cache_control should be {"type": "ephemeral"}')
    if not isinstance(part.get("enable_rotate", False), bool):
        raise Refusal("parameter", "Parameter enable_rotate should be a bool.")


def rate(part: Mapping[str, Any], bounds: tuple[float, float]) -> float | None:
    """`fps` within its bounds. Raises Refusal."""
    fps = parameter_checks.number(part, "fps")
    if fps is not None and not bounds[0] <= fps <= bounds[1]:
        raise Refusal("parameter", f"Range of fps should be [{bounds[0]:g}, {bounds[1]:g}]")
    return fps


def frame_bounds(part: Mapping[str, Any], model: tuple[int, int]) -> tuple[int, int]:
    """`min_frames` and `max_frames` of a video file, the model's own where the part says nothing. Raises Refusal."""
    least = parameter_checks.integer(part, "min_frames", 1, model[1])
    most = parameter_checks.integer(part, "max_frames", model[0], model[1])
    found = least or min(model[0], most or model[0]), most or model[1]
    if found[0] > found[1]:
        raise Refusal("parameter", f"min_frames ({found[0]}) should not be greater than max_frames ({found[1]})")
    return found


def detail(holder: Mapping[str, Any]) -> None:
    """`detail` inside `image_url`. Raises Refusal."""
    if holder.get("detail") not in _DETAILS:
        raise Refusal("parameter", "image_url.detail should be low, high or auto")
