"""DashScope's multimodal embedding endpoint: checked items in, fused or single vectors out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.offline import tokens
from pipeline.offline.error_replies import Refusal
from pipeline.offline.limits import Limits, embedding_limits
from pipeline.offline.media import Source, audio_of, image_of
from pipeline.offline.models import answering, audio, embedding, layout
from pipeline.offline.native import model_of, parameters_of
from pipeline.offline.part_reader import PartReader, reader

if TYPE_CHECKING:
    import numpy as np

_ONE_PEACE = "multimodal-embedding-one-peace-v1"
_ALWAYS_FUSED = (_ONE_PEACE, "qwen2.5-vl-embedding")
_WEIGHTS = {"text": 1, "image": 1, "audio": 2}
_KINDS = ("text", "image", "audio", "video", "multi_images")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One checked item. `content` is a text, the bytes of a picture or sound, or the pictures of a video."""

    kind: str
    content: str | bytes | tuple[bytes, ...]
    factor: float
    tokens: int


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request. `seconds`: the length at which sounds are cut, None = sounds are not cut."""

    model: str
    items: tuple[Item, ...]
    fused: bool
    seconds: float | None


def read(body: Mapping[str, Any], source: Source) -> Wanted:
    """Checks a multimodal embedding request and loads its media. Blocking. Raises Refusal."""
    model, parameters = model_of(body), parameters_of(body)
    given = body.get("input")
    contents = given.get("contents") if isinstance(given, dict) else None
    if not isinstance(contents, list) or not contents:
        raise Refusal("input-empty")
    cut = parameters.get("auto_truncation", False)
    if not isinstance(cut, bool):
        raise Refusal("parameter", "Parameter auto_truncation should be a bool.")
    limits = embedding_limits(model)
    _check_dimension(model, parameters, limits)
    items = tuple(_item(content, model, limits, source, cut=cut) for content in contents)
    fused = model in _ALWAYS_FUSED or bool(parameters.get("enable_fusion"))
    return Wanted(model=model, items=items, fused=fused, seconds=limits.max_seconds)


def _check_dimension(model: str, parameters: Mapping[str, Any], limits: Limits) -> None:
    asked = parameters.get("dimension", limits.dimensions[0])
    if asked not in limits.dimensions:
        raise Refusal("parameter", f"Range of dimension for {model} should be {list(limits.dimensions)}")
    if asked != layout.DIMENSION:
        advice = ": set parameters.dimension = 1536" if layout.DIMENSION in limits.dimensions else ""
        raise Refusal(
            "parameter",
            f"The embedded service only has vectors of dimension 1536, {model} was to give {asked}{advice}.",
        )


def _item(content: object, model: str, limits: Limits, source: Source, *, cut: bool) -> Item:
    found = [name for name in _KINDS if isinstance(content, dict) and name in content]
    if not isinstance(content, dict) or len(found) != 1:
        raise Refusal("messages")
    kind, value, factor = found[0], content[found[0]], _factor(content.get("factor", 1.0))
    if kind == "text":
        text = _text(value, limits, cut=cut)
        return Item(kind=kind, content=text, factor=factor, tokens=tokens.text_tokens(text))
    if kind == "image":
        image = image_of(value, limits, source)
        grid = tokens.grid_of(model)
        cost = tokens.image_tokens(image.width, image.height, grid) if grid else 0
        return Item(kind=kind, content=image.data, factor=factor, tokens=cost)
    if kind == "audio" and limits.audio:
        data, _seconds = audio_of(value, limits, source, cut=cut)
        return Item(kind=kind, content=data, factor=factor, tokens=0)
    if kind == "video" and limits.video is not None:
        return video_item(value, content, factor, reader(model, limits, source))
    raise Refusal("parameter", f"The embedded service has no {kind} input for {model}.")


def video_item(value: object, part: Mapping[str, Any], factor: float, media: PartReader) -> Item:
    """Returns the item of a video, given as a file or as a list of its frames. Raises Refusal."""
    video = media.video(value, part)
    sizes = [(frame.width, frame.height) for frame in video.frames]
    cost = tokens.video_tokens(sizes, media.grid, pixels=video.pixels) if media.grid else 0
    return Item(kind="video", content=tuple(frame.data for frame in video.frames), factor=factor, tokens=cost)


def _factor(value: object) -> float:
    """Returns a weight greater than 0. The service's own documents send the weight as a string too. Raises Refusal."""
    try:
        factor = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        factor = math.nan
    if not (math.isfinite(factor) and factor > 0):
        raise Refusal("parameter", "Parameter factor should be a number greater than 0.")
    return factor


def _text(value: object, limits: Limits, *, cut: bool) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Refusal("messages")
    if limits.max_text is None or len(value) <= limits.max_text:
        return value
    if not cut:
        raise Refusal("parameter", f"Range of input length should be [1, {limits.max_text}]")
    return value[: limits.max_text]


def compute(wanted: Wanted) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """Returns (type, vector) for each item, or one fused vector of type `fusion`. Blocking.

    Raises image.Unreadable, image.TooLarge, audio.NotAudio.
    """
    pieces = [piece(item, wanted.seconds) for item in wanted.items]
    if wanted.fused:
        return [("fusion", embedding.fuse(pieces))]
    return [(item.kind, embedding.fuse([piece])) for item, piece in zip(wanted.items, pieces, strict=True)]


def piece(item: Item, seconds: float | None) -> embedding.Piece:
    """Returns one item as the blocks of the layout. Blocking.

    Raises image.Unreadable, image.TooLarge, audio.NotAudio.
    """
    if isinstance(item.content, str):
        return embedding.of_text(item.content, item.factor)
    if isinstance(item.content, tuple):
        reading = {0, len(item.content) // 2, len(item.content) - 1}
        frames = [_picture(data, 1.0, read=index in reading) for index, data in enumerate(item.content)]
        return embedding.of_images(frames, item.factor)
    if item.kind == "audio":
        statistics = audio.statistics(item.content, seconds=seconds)
        return embedding.of_audio(statistics, audio.likeness(audio.hear(item.content, seconds)), item.factor)
    return _picture(item.content, item.factor)


def _picture(data: bytes, factor: float, *, read: bool = True) -> embedding.Piece:
    """read: the text in the picture is read too. Of a video, the first, the middle and the last frame are read."""
    seen = answering.see(data)
    return embedding.of_image(seen.features, seen.tags, answering.written(data) if read else "", factor)


def reply(wanted: Wanted, vectors: list[tuple[str, np.ndarray[Any, Any]]], request_id: str) -> dict[str, Any]:
    """Returns the body of the answer.

    ONE-PEACE has `output.embedding` and weighted usage. Newer models have `output.embeddings[]` and tokens. `layout`
    and `maker` are this service's own fields: they say which vectors are comparable.
    """
    own = layout.described()
    if wanted.model == _ONE_PEACE:
        output: dict[str, Any] = {"embedding": vectors[0][1].tolist()}
        return {"output": output, "usage": _weighted(wanted), "request_id": request_id, **own}
    found = [
        {"index": index, "embedding": vector.tolist(), "type": kind} for index, (kind, vector) in enumerate(vectors)
    ]
    return {"output": {"embeddings": found}, "usage": _counted(wanted), "request_id": request_id, **own}


def _weighted(wanted: Wanted) -> dict[str, Any]:
    """Returns the weighted usage: the sum of measure·weight, with the weights text 1, image 1, audio 2."""
    found: dict[str, Any] = {}
    for kind, weight in _WEIGHTS.items():
        measure = sum(item.kind == kind for item in wanted.items)
        if measure:
            found[kind] = {"measure": measure, "weight": weight}
    found["total_usage"] = sum(one["measure"] * one["weight"] for one in found.values())
    return found


def _counted(wanted: Wanted) -> dict[str, int]:
    words = sum(item.tokens for item in wanted.items if item.kind == "text")
    found = {"input_tokens": words}
    for kind in ("image", "video"):
        count = sum(item.tokens for item in wanted.items if item.kind == kind)
        found |= {f"{kind}_tokens": count} if count else {}
    return found


def cost(wanted: Wanted) -> int:
    """Returns the number of tokens that the quota counts."""
    return sum(item.tokens for item in wanted.items)
