"""The limits of each model, as the services print them. An unlisted model has the widest limits of its family."""

from __future__ import annotations

import re
from typing import Any

import msgspec

MAX_BODY_BYTES = 64 * 1024 * 1024  # with base64; the gateways answer 413 to a larger body
DATA_ITEM_BYTES = 10_485_760
MEGABYTE = 1024 * 1024

_HEARD = ("WAV", "MP3", "FLAC", "OGG")
_CHAT_FORMATS = ("BMP", "DIB", "ICNS", "ICO", "JPEG", "JPEG2000", "PNG", "SGI", "TIFF", "WEBP")


class VideoLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a video file: bytes, seconds, frames taken out of the file, and frames per second (`fps`).

    `frames` and `fps` are (least, most).
    """

    max_bytes: int = 150 * MEGABYTE
    min_seconds: float = 2.0
    max_seconds: float | None = 40.0
    frames: tuple[int, int] = (4, 768)
    fps: tuple[float, float] = (0.1, 10.0)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a model.

    Pictures: `formats` (Pillow's names), `max_bytes`, `max_pixels`, sides in pixels, `max_ratio` long ÷ short side.
    `sounds`: containers by libsndfile's names. `frames`: least and most frames of a frame list, None = no frame lists.
    `video`: limits of a video file, None = no video files. `one_kind`: a message holds text and one other kind.
    `urls_only`: http(s) addresses, nothing else. `needs_image`: pure text is refused. `strict_mime`: a data: URI must
    declare its real type. `dimensions`: the lengths of vectors that the model can give, the default first.
    """

    formats: tuple[str, ...] = _CHAT_FORMATS
    max_bytes: int = 10 * MEGABYTE
    data_bytes: int = DATA_ITEM_BYTES
    max_pixels: int | None = None
    min_side: int = 11
    max_side: int | None = None
    max_ratio: float | None = 200.0
    frames: tuple[int, int] | None = (4, 768)
    video: VideoLimits | None = None
    one_kind: bool = False
    urls_only: bool = False
    needs_image: bool = False
    strict_mime: bool = False
    data_uris: bool = True
    dimensions: tuple[int, ...] = ()
    max_text: int | None = None
    max_seconds: float | None = None
    audio: bool = False
    sounds: tuple[str, ...] = ("WAV", "MP3", "FLAC")


def _of_video(megabytes: int, seconds: float, frames: int = 768) -> VideoLimits:
    return VideoLimits(max_bytes=megabytes * MEGABYTE, max_seconds=seconds, frames=(4, frames))


def _omni(**more: Any) -> Limits:
    common = {"max_bytes": 20 * MEGABYTE, "frames": (4, 512), "audio": True, "sounds": _HEARD, "one_kind": True}
    return Limits(**{**common, **more})


_NEWER = Limits(max_bytes=20 * MEGABYTE, frames=(4, 512), strict_mime=True)

# Sources: Model Studio's page on visual understanding and error page (videos), and page on Qwen-Omni, 2026 (sounds)
_PATTERNS: tuple[tuple[str, Limits], ...] = (
    (r"llama3\.2-", Limits(urls_only=True, needs_image=True, frames=None)),
    (r"qwen-vl-ocr|qwen3\.5-ocr", Limits(max_pixels=15_680_000, frames=None, strict_mime=True)),
    (r"qwen-vl-max-(?:0201|2024-02-01)$|qwen-vl-(?:chat-)?v1$", Limits(max_pixels=1_048_576, frames=None)),
    (r"qwen-vl-plus$", Limits(max_pixels=1_048_576, frames=(4, 80), video=_of_video(1024, 600, 80))),
    (r"qwen-vl-plus", Limits(max_pixels=12_000_000, video=_of_video(1024, 600))),
    (r"qwen-vl-max", Limits(max_pixels=12_000_000, video=_of_video(2048, 1200))),
    (r"qwen2-vl", Limits(max_pixels=12_000_000, video=VideoLimits())),
    (r"qwen-omni|qwen2\.5-omni", _omni(max_bytes=10 * MEGABYTE, max_seconds=180.0, video=_of_video(150, 40))),
    (r"qwen3-omni", _omni(video=_of_video(2048, 150, 512))),
    (r"qwen3\.\d-omni", msgspec.structs.replace(_omni(video=_of_video(2048, 3600, 512)), one_kind=False)),
    (r"qwen2?-audio", Limits(formats=(), frames=None, audio=True, sounds=_HEARD)),
    (r"qwen2\.5-vl-\d|qvq", msgspec.structs.replace(_NEWER, video=_of_video(1024, 600, 512))),
    (r"qwen3-vl", msgspec.structs.replace(_NEWER, video=_of_video(2048, 3600, 512))),
    (r"qwen3", msgspec.structs.replace(_NEWER, video=_of_video(2048, 7200, 512))),
)
_ANY = Limits(
    formats=(*_CHAT_FORMATS, "GIF"),  # OpenAI's own service takes PNG, JPEG, WEBP and GIF
    max_bytes=20 * MEGABYTE,
    video=VideoLimits(max_bytes=2048 * MEGABYTE, min_seconds=0, max_seconds=None),
    audio=True,
    sounds=_HEARD,
)
_EMBEDDINGS: tuple[tuple[str, Limits], ...] = (
    (
        r"multimodal-embedding-one-peace-v1$",
        Limits(
            formats=("BMP", "JPEG", "PNG", "TIFF"),
            max_bytes=5 * MEGABYTE,
            min_side=1,
            max_ratio=None,
            frames=None,
            data_uris=False,
            dimensions=(1536,),
            max_text=70,
            max_seconds=15.0,
            audio=True,
        ),
    ),
    (
        r"qwen3-vl-embedding",
        Limits(
            min_side=1,
            frames=None,
            video=VideoLimits(max_bytes=50 * MEGABYTE, max_seconds=None, frames=(1, 64)),
            dimensions=(2560, 2048, 1536, 1024, 768, 512, 256),
        ),
    ),
    (r"qwen2\.5-vl-embedding", Limits(min_side=1, frames=None, dimensions=(1024, 2048, 768, 512))),
    (
        r"tongyi-embedding-vision-plus",
        Limits(max_bytes=3 * MEGABYTE, frames=None, dimensions=(1152, 1024, 512, 256, 128, 64)),
    ),
    (
        r"tongyi-embedding-vision-flash",
        Limits(max_bytes=3 * MEGABYTE, frames=None, dimensions=(768, 512, 256, 128, 64)),
    ),
    (r"multimodal-embedding-v1$", Limits(frames=None, dimensions=(1024,), audio=True)),
)

# Qianfan takes base64 JPG, JPEG, PNG, BMP, and WEBP by URL; under 6000×6000, shortest side at least 5 px
QIANFAN = Limits(formats=("JPEG", "PNG", "BMP"), min_side=5, max_side=5999, max_ratio=None, frames=None)
QIANFAN_URL = msgspec.structs.replace(QIANFAN, formats=("JPEG", "PNG", "BMP", "WEBP"))
QIANFAN_WINDOW_TOKENS = 8192

_QIANFAN_VIDEOS = re.compile(r"ernie-4\.5-turbo-vl|ernie-5\.0-thinking|ernie-4\.5-vl-28b|qwen2\.5-vl", re.IGNORECASE)
_QIANFAN_LARGE = re.compile(r"ernie-4\.5-turbo-vl|ernie-5\.0-thinking", re.IGNORECASE)


def qianfan_video(model: str) -> VideoLimits | None:
    """Returns the video limits of Qianfan's newer models, or None for other models.

    Source: cloud.baidu.com/doc/qianfan-api/s/rm7u7qdiq, which prints no longest duration.
    """
    if not _QIANFAN_VIDEOS.match(model):
        return None
    size = 128 if _QIANFAN_LARGE.match(model) else 64
    return VideoLimits(max_bytes=size * MEGABYTE, min_seconds=0, max_seconds=None, fps=(0.2, 5.0))


def chat_limits(model: str) -> Limits:
    """Returns the limits of a chat model of DashScope or of any OpenAI-compatible server."""
    return next((limits for pattern, limits in _PATTERNS if re.match(pattern, model)), _ANY)


def embedding_limits(model: str) -> Limits:
    """Returns the limits of an embedding model. An unlisted model gets the 1536 dimensions that this service has."""
    found = next((limits for pattern, limits in _EMBEDDINGS if re.match(pattern, model)), None)
    return found or Limits(min_side=1, frames=None, video=_ANY.video, dimensions=(1536,), audio=True)
