"""Says which parameters are about single pictures or videos and puts them on those parts.

The rule: a parameter named in PICTURE or VIDEO for the wire form belongs to the parts, every other to the request.
A value counts for every picture (video); a list gives one value per picture in order, as `detail = ["high", "low"]`.

| form | on a picture | on a frame list | protocol reference |
| --- | --- | --- | --- |
| native, compatible | min_pixels, max_pixels, enable_rotate | min_pixels, max_pixels, total_pixels | §3.2, §3.5 |
| qianfan, openai | detail (inside `image_url`) | | §4.2 |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Form = Literal["native", "compatible", "openai", "qianfan"]

_DASHSCOPE = frozenset({"min_pixels", "max_pixels", "enable_rotate"})
PICTURE: Mapping[Form, frozenset[str]] = {
    "native": _DASHSCOPE,
    "compatible": _DASHSCOPE | {"detail"},
    "openai": frozenset({"detail"}),
    "qianfan": frozenset({"detail"}),
}
_DASHSCOPE_VIDEO = frozenset({"min_pixels", "max_pixels", "total_pixels"})
VIDEO: Mapping[Form, frozenset[str]] = {
    "native": _DASHSCOPE_VIDEO,
    "compatible": _DASHSCOPE_VIDEO,
    "openai": frozenset(),
    "qianfan": frozenset(),
}


class PartOptions:
    """Hands out the options of each picture and each video in the order they stand in the request."""

    def __init__(self, picture: Mapping[str, Any], video: Mapping[str, Any]) -> None:
        self._picture = picture
        self._video = video
        self._pictures = 0
        self._videos = 0

    def for_image(self) -> dict[str, Any]:
        self._pictures += 1
        return _at(self._picture, self._pictures - 1)

    def for_video(self) -> dict[str, Any]:
        self._videos += 1
        return _at(self._video, self._videos - 1)


def options(parameters: Mapping[str, Any], form: Form) -> tuple[PartOptions, dict[str, Any]]:
    """The parameters split into those of the parts and those of the request."""
    picture = {name: value for name, value in parameters.items() if name in PICTURE[form]}
    video = {name: value for name, value in parameters.items() if name in VIDEO[form]}
    rest = {name: value for name, value in parameters.items() if name not in picture and name not in video}
    return PartOptions(picture, video), rest


def _at(chosen: Mapping[str, Any], index: int) -> dict[str, Any]:
    values = {
        name: (value[index] if index < len(value) else None) if isinstance(value, list | tuple) else value
        for name, value in chosen.items()
    }
    return {name: value for name, value in values.items() if value is not None}
