"""Options of single images and videos, and the limits that a model puts on media.

An option stands on a part of the row (`contents`), or among the parameters, where it holds for all parts. A parameter
named in IMAGE or VIDEO for the wire form belongs to the parts; every other parameter belongs to the request. A single
value holds for every picture (video). A list gives one value per picture in order, such as `detail = ["high", "low"]`.
An option on a part goes before the parameters.

| form | on a picture | on frames or a video file | PROTOCOLS.md |
| --- | --- | --- | --- |
| native, compatible | min_pixels, max_pixels, enable_rotate | fps, min_pixels, max_pixels, total_pixels | §3.2, §3.5 |
| qianfan | detail (inside `image_url`) | fps (inside `video_url`) | §4.2 |
| openai | detail (inside `image_url`) | fps | |

A video file may also have min_frames and max_frames. `cache_control` may stand on any part, but not for Qianfan
(§3.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from pipeline.errors import refusal
from pipeline.providers import LocalFiles, declared
from pipeline.providers.image_tokens import stated_markers
from pipeline.providers.model import Model
from pipeline.types import Audio, Endpoint, Image, MediaLimits, Part, Text, VideoFile

Form = Literal["native", "compatible", "openai", "qianfan"]

_DASHSCOPE = frozenset({"min_pixels", "max_pixels", "enable_rotate"})
IMAGE: Mapping[Form, frozenset[str]] = {
    "native": _DASHSCOPE,
    "compatible": _DASHSCOPE | {"detail"},
    "openai": frozenset({"detail"}),
    "qianfan": frozenset({"detail"}),
}
_DASHSCOPE_VIDEO = frozenset({"fps", "min_pixels", "max_pixels", "total_pixels"})
VIDEO: Mapping[Form, frozenset[str]] = {
    "native": _DASHSCOPE_VIDEO,
    "compatible": _DASHSCOPE_VIDEO,
    "openai": frozenset({"fps"}),
    "qianfan": frozenset({"fps"}),
}
_OF_FILES = frozenset({"min_frames", "max_frames"})
_ON_ANY: Mapping[Form, frozenset[str]] = {
    "native": frozenset({"cache_control"}),
    "compatible": frozenset({"cache_control"}),
    "openai": frozenset({"cache_control"}),
    "qianfan": frozenset(),
}


def form_of(endpoint: Endpoint) -> Form:
    """Returns the form in which the options of a part are written at an endpoint, as the provider declares it."""
    found: Form = declared(endpoint.provider, "PART_FORMS").get(endpoint.protocol, "openai")
    return found


class PartOptions:
    """Hands out the options of each picture and each video, in the order of the request."""

    def __init__(self, image: Mapping[str, Any], video: Mapping[str, Any]) -> None:
        self._image = image
        self._video = video
        self._images = 0
        self._videos = 0

    def of(self, part: Part) -> dict[str, Any]:
        """Returns the options of the next part. The part's own options go before the parameters for its place."""
        if isinstance(part, (Text, Audio)):
            return dict(part.options)
        if isinstance(part, Image):
            self._images += 1
            return {**_at(self._image, self._images - 1), **part.options}
        self._videos += 1
        return {**_at(self._video, self._videos - 1), **part.options}


def options(parameters: Mapping[str, Any], form: Form) -> tuple[PartOptions, dict[str, Any]]:
    """Returns the parameters of the parts, and the parameters of the request."""
    if not parameters:
        return PartOptions({}, {}), {}
    image = {name: value for name, value in parameters.items() if name in IMAGE[form]}
    video = {name: value for name, value in parameters.items() if name in VIDEO[form]}
    rest = {name: value for name, value in parameters.items() if name not in image and name not in video}
    return PartOptions(image, video), rest


def check_part(part: Part, form: Form) -> None:
    """Raises Fault (`Local.Option`) for an option that this wire form does not have on a part of this kind."""
    if not part.options:
        return
    if isinstance(part, Text | Audio):
        taken: frozenset[str] = frozenset()
    elif isinstance(part, Image):
        taken = IMAGE[form]
    else:
        taken = VIDEO[form] | (_OF_FILES if isinstance(part, VideoFile) else frozenset())
    taken |= _ON_ANY[form]
    for name in part.options:
        if name not in taken:
            known = ", ".join(sorted(taken)) or "none"
            raise refusal("Option", f"{name}: this service takes no such option on this part; it takes: {known}")


def _at(chosen: Mapping[str, Any], index: int) -> dict[str, Any]:
    values = {
        name: (value[index] if index < len(value) else None) if isinstance(value, list | tuple) else value
        for name, value in chosen.items()
    }
    return {name: value for name, value in values.items() if value is not None}


MARGIN = 1.1
"""Pictures are scaled to this multiple of the service's cap.

Scaling to exactly the cap would round the sides away from the service's own grid: of random sizes above the cap, 29 %
would count other tokens than the original picture, with this margin 1.5 % (a patch more or less).
"""

COMMON_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""The formats that every server of pictures takes: OpenAI's own list (platform.openai.com, "Images and vision", 2026),
which the OpenAI-compatible servers follow."""


def image_limits(model: Model, local: LocalFiles, parameters: Mapping[str, Any]) -> MediaLimits:
    """Returns the limits of a picture that is loaded here.

    If the formats of a model are not known, only COMMON_FORMATS are sent. The bound on base64 holds only if base64 is
    sent. `useful_pixels` depends on the request: with the high-resolution switch or a larger `max_pixels` the service
    looks at more pixels, so the picture may be reduced less (PROTOCOLS.md §3.8).
    """
    limits = _for_sending(model.media, local)
    if limits.formats is None:
        limits = msgspec.structs.replace(limits, formats=COMMON_FORMATS)
    rule = model.tokens
    if rule is None or limits.useful_pixels is None:
        return limits
    asked = parameters.get("max_pixels")
    useful = limits.useful_pixels
    if parameters.get("vl_high_resolution_images") is True or isinstance(asked, list | tuple):
        useful = rule.hard_max_pixels
    elif isinstance(asked, int) and not isinstance(asked, bool) and asked > 0:
        useful = min(max(asked, useful), rule.hard_max_pixels)
    return msgspec.structs.replace(limits, useful_pixels=round(useful * MARGIN))


def shrunk_limits(limits: MediaLimits, model: Model, max_tokens: int | None) -> MediaLimits:
    """Returns the limits of a picture that may have at most `max_tokens` tokens; `limits` itself without such a bound
    or without a rule for the model's tokens.

    `max_tokens` counts as the reply does: with the markers, if the reply counts them too.
    """
    rule = model.tokens
    if max_tokens is None or rule is None:
        return limits
    patches = max(1, max_tokens - stated_markers(rule))
    return msgspec.structs.replace(limits, patch=rule.patch, max_patches=patches)


def shrinking_problem(model: Model, max_tokens: int | None, resize: str) -> str | None:
    """Returns why `media.max_tokens` cannot be kept, None if it can."""
    rule = model.tokens
    if max_tokens is None:
        return None
    if rule is None:
        return f"media.max_tokens: how {model.name} counts the tokens of a picture is not known; take it out"
    if resize == "off":
        return 'media.max_tokens: media.resize = "off" makes no picture smaller; take one of them out'
    least = 2 * rule.min_pixels // rule.patch**2 + stated_markers(rule)
    if max_tokens < least:
        return f"media.max_tokens: found {max_tokens}; {model.name} makes small pictures larger, so at least {least}"
    return None


def audio_limits(model: Model, local: LocalFiles) -> MediaLimits:
    """Returns the limits of a sound that is loaded here."""
    return _for_sending(model.sound, local)


def video_limits(model: Model, local: LocalFiles) -> MediaLimits:
    """Returns the limits of a video file that is loaded here."""
    known = model.video_limits
    return MediaLimits(
        formats=known.formats,
        max_bytes=known.max_upload_bytes if local == "upload" else None,
        max_encoded_bytes=known.max_encoded_bytes if local == "base64" else None,
    )


def _for_sending(limits: MediaLimits, local: LocalFiles) -> MediaLimits:
    return limits if local == "base64" else msgspec.structs.replace(limits, max_encoded_bytes=None)
