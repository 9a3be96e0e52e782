"""What fitting may do to a picture or a sound, for one model, one way of sending and one set of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.providers import LocalFiles
from pipeline.providers.models import Model
from pipeline.types import MediaLimits

MARGIN = 1.1
"""Scaling to just the service's cap would round the sides away from its own grid: of random sizes above the cap 29 %
would count other tokens than the original picture, with this margin 1.5 % (a patch more or less)."""

COMMON_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""What every server of pictures takes: OpenAI's own list (platform.openai.com, "Images and vision", 2026), which the
OpenAI-compatible servers follow."""


def image_limits(model: Model, local: LocalFiles, parameters: Mapping[str, Any]) -> MediaLimits:
    """The limits of a picture that is loaded here.

    A model whose formats are not known is sent COMMON_FORMATS alone. The bound on base64 holds only where base64 is
    sent. `useful_pixels` follows the request: the high-resolution
    switch and a larger `max_pixels` make the service look closer, so less may be taken away (protocol reference §3.8).
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


def audio_limits(model: Model, local: LocalFiles) -> MediaLimits:
    """The limits of a sound that is loaded here."""
    return _for_sending(model.sound, local)


def video_limits(model: Model, local: LocalFiles) -> MediaLimits:
    """The limits of a video file that is loaded here."""
    known = model.video_limits
    return MediaLimits(
        formats=known.formats,
        max_bytes=known.max_upload_bytes if local == "upload" else None,
        max_encoded_bytes=known.max_encoded_bytes if local == "base64" else None,
    )


def _for_sending(limits: MediaLimits, local: LocalFiles) -> MediaLimits:
    return limits if local == "base64" else msgspec.structs.replace(limits, max_encoded_bytes=None)
