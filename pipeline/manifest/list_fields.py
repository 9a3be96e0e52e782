"""Parses the fields that hold ordered lists: `contents`, `messages`, `frames`, `video`, `prompts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from pipeline.errors import refusal
from pipeline.job.values import did_you_mean, for_message
from pipeline.manifest import fields
from pipeline.media.refs import is_remote, redact_for_message, to_path
from pipeline.types import Frames, FrameSource, Item, Media, Message

_IMAGE_OPTIONS = ("detail", "min_pixels", "max_pixels", "enable_rotate", "cache_control")
_VIDEO_OPTIONS = ("min_pixels", "max_pixels", "total_pixels", "cache_control")
PART_OPTIONS: dict[str, tuple[str, ...]] = {
    "image": _IMAGE_OPTIONS,
    "text": ("cache_control",),
    "frames": _VIDEO_OPTIONS,
    "video": ("fps", "min_frames", "max_frames", *_VIDEO_OPTIONS),
    "audio": ("cache_control",),
}
"""Kind of a part → the services' options of a part of this kind (PROTOCOLS.md §3.2, §3.5, §4.2). `fps` and `max_frames`
of frames are our own options: at which rate the frames were taken, and how many frames are sent."""

_ITEM_KEYS = tuple(dict.fromkeys([*PART_OPTIONS, "factor", "fps", "max_frames", *sum(PART_OPTIONS.values(), ())]))
_MEDIA_KEYS = ("image", "images", "frames", "fps", "max_frames", "video", "audio", "contents")
MESSAGE_KEYS = ("role", "text", *_MEDIA_KEYS)
ROLES = ("system", "user", "assistant")


def contents(value: Any, name: str, base: str) -> tuple[Item, ...]:
    """Parses the parts in order. Each part is a text, image, frames, video or audio, with the options of its kind.

    `factor` (a number above 0, or its text) is the weight of a part in an embedding.
    """
    return tuple(_item(item, f"{name}[{index}]", base) for index, item in enumerate(_tables(value, name, _ITEM_KEYS)))


def messages(value: Any, name: str, base: str) -> tuple[Message, ...]:
    """Parses the earlier turns in order: role, text, and the images, frames, videos, audio or `contents` of a turn."""
    tables = _tables(value, name, MESSAGE_KEYS)
    return tuple(_message(turn, f"{name}[{index}]", base) for index, turn in enumerate(tables))


def prompts(value: Any, name: str, base: str) -> tuple[str, ...]:
    """Parses the questions that are asked one after the other: a list of texts. If the first text is empty, the row's
    media and `contents` are the first question."""
    value = fields.from_json(value, name)
    if not isinstance(value, (list, tuple)) or not value:
        raise fields.bad_field(name, value, "a list of texts")
    for index, entry in enumerate(value):
        if type(entry) is not str or (not entry.strip() and (entry or index)):
            raise fields.bad_field(f"{name}[{index}]", entry, "text")
    return tuple(value)


def frames(ours: Mapping[str, Any], base: str) -> Frames | None:
    """Parses the fields `frames`, `fps` and `max_frames` as one video. Returns None if the row has no `frames`."""
    fps = fields.number(ours["fps"], "fps") if "fps" in ours else None
    most = fields.count(ours["max_frames"], "max_frames") if "max_frames" in ours else None
    return _frames(ours["frames"], "frames", base, fps, most) if "frames" in ours else None


def videos(ours: Mapping[str, Any], base: str, place: str = "") -> tuple[Item, ...]:
    """Parses the video files of the field `video` (one, or a list), with `fps` and `max_frames` as their options.

    `place`: the text before the names of the fields in error messages, such as `messages[0].`.
    """
    options: dict[str, Any] = {}
    if "fps" in ours:
        options["fps"] = _plain(fields.number(ours["fps"], f"{place}fps"))
    if "max_frames" in ours:
        options["max_frames"] = fields.count(ours["max_frames"], f"{place}max_frames")
    found = fields.videos(ours["video"], f"{place}video", base)
    return tuple(Item(content=media, options=options) for media in found)


def _frames(value: Any, name: str, base: str, fps: float | None, most: int | None) -> Frames:
    value = fields.text_or_list(value, name)
    if type(value) is str:
        if is_remote(value):
            raise refusal(
                "BadField", f"{name}: {redact_for_message(value)} is no local folder; list the frames' URLs instead"
            )
        source = FrameSource(ref=value, pattern=to_path(value, base), max_frames=most)
        return Frames(images=source, fps=fps, max_frames=most)
    if not isinstance(value, (list, tuple)):
        raise fields.bad_field(name, value, "a list of pictures, a folder or a glob")
    return Frames(images=fields.images(value, name, base), fps=fps, max_frames=most)


def _tables(value: Any, name: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Parses a list of tables. Keys without a value, which Parquet gives, are left out."""
    value = fields.from_json(value, name)
    if not isinstance(value, (list, tuple)):
        raise fields.bad_field(name, value, "a list of tables")
    tables = []
    for index, entry in enumerate(value):
        if not isinstance(entry, Mapping):
            raise fields.bad_field(f"{name}[{index}]", entry, "a table with " + ", ".join(keys))
        for key in entry:
            if key not in keys:
                raise _unknown_key(f"{name}[{index}]", str(key), keys)
        tables.append({key: found for key, found in entry.items() if found is not None})
    return tables


def _unknown_key(name: str, key: str, keys: tuple[str, ...]) -> Exception:
    hint = did_you_mean(key, keys) or "; expected " + ", ".join(keys)
    return refusal("BadField", f"{name}: unknown key {for_message(key)}{hint}")


def _item(table: dict[str, Any], name: str, base: str) -> Item:
    kinds = [key for key in PART_OPTIONS if key in table]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise refusal("BadField", f"{name}: found {found}, expected exactly one of {', '.join(PART_OPTIONS)}")
    kind = kinds[0]
    factor = fields.number(table["factor"], f"{name}.factor") if "factor" in table else None
    ours = ("fps", "max_frames") if kind == "frames" else ()
    options = {key: _plain(value) for key, value in table.items() if key not in (kind, "factor", *ours)}
    for key in options:
        if key not in PART_OPTIONS[kind]:
            raise _unknown_key(name, key, (*ours, *PART_OPTIONS[kind], "factor"))
    return Item(content=_content(kind, table, name, base), factor=factor, options=options)


def _plain(value: Any) -> Any:
    """Returns a whole number as an integer: Parquet may have 2.0 where JSON has 2, and both are the same question."""
    return int(value) if type(value) is float and value.is_integer() else value


def _content(kind: str, table: dict[str, Any], name: str, base: str) -> Media | str | Frames:
    value, place = table[kind], f"{name}.{kind}"
    if kind == "text":
        return fields.text(value, place, base)
    if kind == "frames":
        fps = fields.number(table["fps"], f"{name}.fps") if "fps" in table else None
        most = fields.count(table["max_frames"], f"{name}.max_frames") if "max_frames" in table else None
        return _frames(value, place, base, fps, most)
    return fields.one(value, place, base, cast("Literal['image', 'audio', 'video']", kind))


def _message(table: dict[str, Any], name: str, base: str) -> Message:
    role = table.get("role")
    if role not in ROLES:
        raise fields.bad_field(f"{name}.role", role, "system, user or assistant")
    role = cast("Literal['system', 'user', 'assistant']", role)
    words = fields.text(table["text"], f"{name}.text", base) if "text" in table else None
    images: tuple[Media, ...] = ()
    for key in ("image", "images"):
        if key in table:
            images += fields.images(table[key], f"{name}.{key}", base)
    rest = _other_media(table, name, base)
    if not images and not rest and not words:
        raise refusal("BadField", f"{name}: found neither text nor a picture")
    if not rest:
        return Message(role=role, text=words, images=images)
    text = (Item(content=words),) if words is not None else ()
    return Message(role=role, items=(*(Item(content=image) for image in images), *rest, *text))


def _other_media(table: dict[str, Any], name: str, base: str) -> tuple[Item, ...]:
    """Parses the frames, videos, audio and `contents` of an earlier turn, in this order."""
    found: list[Item] = []
    taken = {f"{key}": table[key] for key in ("fps", "max_frames") if key in table}
    if taken and "frames" not in table and "video" not in table:
        raise refusal("BadField", f"{name}: {' and '.join(taken)} without frames or video")
    readers: dict[str, Callable[[], tuple[Item, ...]]] = {
        "frames": lambda: (_item({"frames": table["frames"], **taken}, name, base),),
        "video": lambda: videos({"video": table["video"], **taken}, base, f"{name}."),
        "audio": lambda: tuple(Item(content=audio) for audio in fields.audio(table["audio"], f"{name}.audio", base)),
        "contents": lambda: contents(table["contents"], f"{name}.contents", base),
    }
    for key, read in readers.items():
        if key in table:
            found += read()
    return tuple(found)
