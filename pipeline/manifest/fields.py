"""Parses the simple fields of a manifest line: media references, texts, numbers, tables and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from pipeline.errors import Fault, refusal
from pipeline.manifest.ids import described
from pipeline.media.refs import to_media
from pipeline.types import Media, MediaKind

# A text is matched as a whole, so that NaN and Infinity inside a text stay.
_NONE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|(?<![\w.+-])-?(?:NaN|Infinity)(?![\w.])', re.DOTALL)


def without_none(text: bytes) -> bytes | None:
    """Returns the JSON with null for NaN, Infinity and -Infinity, which Python, pandas and JavaScript tools write.
    Returns None if there is none of these outside texts."""
    if b"NaN" not in text and b"Infinity" not in text:
        return None
    count = 0

    def null(match: re.Match[bytes]) -> bytes:
        nonlocal count
        if match[0].startswith(b'"'):
            return match[0]
        count += 1
        return b"null"

    found = _NONE.sub(null, text)
    return found if count else None


def spans_lines(head: bytes) -> bool:
    """Tells whether the beginning of a file is a JSON object that spans several lines."""
    head = head.lstrip()
    first, newline, rest = head.partition(b"\n")
    if not newline or not first.startswith(b"{"):
        return False
    try:
        msgspec.json.decode(without_none(first) or first)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    else:
        return False
    try:
        end = json.JSONDecoder().raw_decode(head.decode(errors="replace"))[1]
    except (ValueError, RecursionError):
        return first.strip() == b"{" and rest.lstrip().startswith(b'"')  # an object longer than the beginning
    return end > len(first.decode(errors="replace"))


# Bounds the recursion of every later step that walks through a value (scrubbing, storing).
MAX_DEPTH = 64

# A cell is a list in JSON only if it begins like a list of texts: `[abc]*.jpg` is a glob and `[1].jpg` a file name.
_JSON_LIST = re.compile(r"\s*\[\s*[\"\]]")


def bad_field(name: str, found: Any, expected: str) -> Fault:
    """Returns the Fault for a value of the wrong type. The message names the field, the value and the expected type."""
    return refusal("BadField", f"{name}: found {described(found)}, expected {expected}")


def images(value: Any, name: str, base: str) -> tuple[Media, ...]:
    """Parses one image or a list of images."""
    return _media(value, name, base, "image")


def audio(value: Any, name: str, base: str) -> tuple[Media, ...]:
    """Parses one audio file or a list of audio files."""
    return _media(value, name, base, "audio")


def videos(value: Any, name: str, base: str) -> tuple[Media, ...]:
    """Parses one video file or a list of video files."""
    return _media(value, name, base, "video")


def text(value: Any, name: str, base: str) -> str:
    """Parses a text."""
    if type(value) is not str:
        raise bad_field(name, value, "text")
    return value


def table(value: Any, name: str, base: str) -> Mapping[str, Any]:
    """Parses a table, which may be given as JSON text."""
    value = from_json(value, name)
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise bad_field(name, value, "a table")
    return value


def from_json(value: Any, name: str) -> Any:
    """Parses a text as JSON (a CSV cell holds lists and tables as JSON). Returns any other value unchanged.

    Raises Fault `Local.BadField` for a text that is not JSON or is nested deeper than MAX_DEPTH.
    """
    if type(value) is not str:
        return value
    try:
        found = _decoded(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise refusal("BadField", f"{name}: the text is not JSON ({error}); expected a list or a table") from None
    if value.count("[") + value.count("{") > MAX_DEPTH and _is_too_deep(found):
        raise refusal("BadField", f"{name}: nested deeper than {MAX_DEPTH} levels")
    return found


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        if (changed := without_none(text.encode())) is None:
            raise
        return msgspec.json.decode(changed)


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        boxes = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list)))
        level = [inner for box in boxes for inner in box]
        if not level:
            return False
    return True


def text_or_list(value: Any, name: str) -> Any:
    """Parses a JSON list of texts, and returns any other text unchanged."""
    return from_json(value, name) if type(value) is str and _JSON_LIST.match(value) else value


def number(value: Any, name: str) -> float:
    """Parses a finite number above 0, which may be given as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise bad_field(name, value, "a number above 0") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise bad_field(name, value, "a number above 0")
    return float(value)


def count(value: Any, name: str) -> int:
    """Parses a whole number of at least 1, which may be given as text."""
    found = number(value, name)
    if found != int(found):
        raise bad_field(name, value, "a whole number of at least 1")
    return int(found)


def _media(value: Any, name: str, base: str, kind: MediaKind) -> tuple[Media, ...]:
    if type(value) is str and value[:1] not in "[ \t":
        return (to_media(value, kind, base),)
    value = text_or_list(value, name)
    if not isinstance(value, (list, tuple)):
        return (one(value, name, base, kind),)
    return tuple(one(item, f"{name}[{index}]", base, kind) for index, item in enumerate(value))


def one(value: Any, name: str, base: str, kind: MediaKind) -> Media:
    """Parses one image, audio or video. The value is a reference, or (in Parquet and from Python) the bytes, or a table
    of `bytes` and `path`, as in Hugging Face data sets. If the table has bytes, its path is only a name."""
    ref = "data:,"
    if isinstance(value, Mapping) and "bytes" in value and value.keys() <= {"bytes", "path"}:
        path = value.get("path")
        ref = path if isinstance(path, str) and path else ref
        value = value["bytes"] if value["bytes"] is not None else path
    if isinstance(value, bytes):
        return Media(kind=kind, ref=ref, data=value)
    if type(value) is not str:
        raise bad_field(name, value, "a path or URL")
    if not value.strip():
        raise refusal("BadReference", f"{name} is empty")
    return to_media(value, kind, base)
