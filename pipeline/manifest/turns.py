"""The fields that hold lists of tables or pictures in order: `contents`, `messages`, `frames`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal, cast

from pipeline.errors import refusal
from pipeline.manifest import fields
from pipeline.manifest.references import is_remote, shown, to_path
from pipeline.types import Frames, FrameSource, Item, Media, Message

_ITEM_KEYS = ("image", "text", "audio", "factor")
_MESSAGE_KEYS = ("role", "text", "image", "images")
_ROLES = ("system", "user", "assistant")


def contents(value: Any, name: str, base: str) -> tuple[Item, ...]:
    """The items of an embedding: each one of image, text or audio, with its factor (a number above 0, or its text)."""
    return tuple(_item(item, f"{name}[{index}]", base) for index, item in enumerate(_tables(value, name, _ITEM_KEYS)))


def messages(value: Any, name: str, base: str) -> tuple[Message, ...]:
    """Earlier turns in order: role, text, image or images."""
    tables = _tables(value, name, _MESSAGE_KEYS)
    return tuple(_message(turn, f"{name}[{index}]", base) for index, turn in enumerate(tables))


def frames(ours: Mapping[str, Any], base: str) -> Frames | None:
    """One video from the fields `frames`, `fps` and `max_frames`; None where there are no frames."""
    fps = fields.number(ours["fps"], "fps") if "fps" in ours else None
    most = fields.count(ours["max_frames"], "max_frames") if "max_frames" in ours else None
    if "frames" not in ours:
        return None
    value = fields.text_or_list(ours["frames"], "frames")
    if type(value) is str:
        if is_remote(value):
            raise refusal("BadField", f"frames: {shown(value)} is no local folder; list the frames' URLs instead")
        source = FrameSource(ref=value, pattern=to_path(value, base), max_frames=most)
        return Frames(pictures=source, fps=fps, max_frames=most)
    if not isinstance(value, (list, tuple)):
        raise fields.bad_field("frames", value, "a list of pictures, a folder or a glob")
    return Frames(pictures=fields.images(value, "frames", base), fps=fps, max_frames=most)


def _tables(value: Any, name: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """A list of tables, the keys without a value (as Parquet has them) left out."""
    value = fields.from_json(value, name)
    if not isinstance(value, (list, tuple)):
        raise fields.bad_field(name, value, "a list of tables")
    tables = []
    for index, entry in enumerate(value):
        if not isinstance(entry, Mapping):
            raise fields.bad_field(f"{name}[{index}]", entry, "a table with " + ", ".join(keys))
        for key in entry:
            if key not in keys:
                near = difflib.get_close_matches(str(key), keys, 1)
                hint = f"did you mean {near[0]!r}?" if near else "expected " + ", ".join(keys)
                raise refusal("BadField", f"{name}[{index}]: unknown key {str(key)[:80]!r}; {hint}")
        tables.append({key: found for key, found in entry.items() if found is not None})
    return tables


def _item(table: dict[str, Any], name: str, base: str) -> Item:
    kinds = [key for key in ("image", "text", "audio") if key in table]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise refusal("BadField", f"{name}: found {found}, expected exactly one of image, text, audio")
    kind = kinds[0]
    factor = fields.number(table["factor"], f"{name}.factor") if "factor" in table else None
    if kind == "text":
        return Item(content=fields.text(table[kind], f"{name}.text", base), factor=factor)
    media_kind: Literal["image", "audio"] = "image" if kind == "image" else "audio"
    return Item(content=fields.one(table[kind], f"{name}.{kind}", base, media_kind), factor=factor)


def _message(table: dict[str, Any], name: str, base: str) -> Message:
    role = table.get("role")
    if role not in _ROLES:
        raise fields.bad_field(f"{name}.role", role, "system, user or assistant")
    pictures: tuple[Media, ...] = ()
    for key in ("image", "images"):
        if key in table:
            pictures += fields.images(table[key], f"{name}.{key}", base)
    words = fields.text(table["text"], f"{name}.text", base) if "text" in table else None
    if not pictures and not words:
        raise refusal("BadField", f"{name}: found neither text nor a picture")
    return Message(role=cast("Literal['system', 'user', 'assistant']", role), text=words, images=pictures)
