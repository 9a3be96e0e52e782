"""Finds an image, audio or video that a row names in a column which is not used.

A column is found by its name if the name is like one of our fields (`img`, `photo_url`, `Image`, 图片). A column is
found by its value if the value is a reference: a path or URL with an ending of media, `data:image/…`, `oss://…`, the
bytes of an image, or a list or table of these. A name that only says "link" (`url`, `path`, `image_id`) counts only in
tasks that do not embed: links beside a text that is embedded usually lead to web pages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pipeline.manifest.kinds import AUDIO, IMAGES, VIDEOS
from pipeline.manifest.media_names import Kind, link_kind, strong_kind
from pipeline.media.formats import IMAGE_FORMATS, sniff
from pipeline.tasks import facts
from pipeline.types import TaskName

PROSE = frozenset({"prompt", "prompts", "system", "text", "messages", "contents", "parameters"})
"""Fields with text. In these fields, a value counts as a reference only if it has nothing besides the reference."""

_NO_VALUE = frozenset({"", "none", "null", "nan", "n/a", "na", "-", "no", "false", "[]", "{}"})

_ENDINGS: dict[str, Kind] = {
    # A column that names a PDF is usually the source of a text, and not a forgotten image.
    **{ending[1:]: "image" for ending in IMAGES - {".pdf"}},
    **{ending[1:]: "audio" for ending in AUDIO},
    **{ending[1:]: "video" for ending in VIDEOS - {".ts", ".mts"}},  # files with these endings are usually TypeScript
}
_ENDING = "|".join(sorted(_ENDINGS, key=len, reverse=True))
_AT_END = re.compile(rf"[^/\\.\s]\.({_ENDING})(?:[?#]\S*)?$", re.IGNORECASE)
_IN_URL = re.compile(rf"\.({_ENDING})(?![A-Za-z0-9.])", re.IGNORECASE)
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/\s]+(/\S*)?$")
_DATA = re.compile(r"data:(image|audio|video)?[\w/+.-]*(?:;[\w=-]+)*[;,]", re.IGNORECASE)
_PATH = re.compile(r"\.{0,2}/|~/|[A-Za-z]:[\\/]|[A-Za-z][A-Za-z0-9+.-]*:/")
_OTHER_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
_PYTHON_LIST = re.compile(r"\[\s*'[^']*'(?:\s*,\s*'[^']*')*\s*\]")
_BASE64 = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")
"""Beginnings of the base64 of JPEG, PNG, GIF and WEBP (or WAV)."""

_STARTS = ("data:", "Data:", "DATA:", "oss:", "Oss:", "OSS:", *_BASE64, *"/[{ \t\n\"'<")
"""Beginnings of references that do not have an ending of media."""

MOST_WORDS = 5
"""A text with more words is a sentence, whatever its last word is. File names with blanks have fewer words."""
LONGEST = 4_096
"""Characters of the longest reference that is found (the longest path in Linux). `data:` and base64 may be longer."""


class Unused(msgspec.Struct, frozen=True, kw_only=True):
    """A column with a medium that is not used. `kind`: the kind of the medium, None if it is not known.

    `direct`: the column itself could be one of our fields, because its value is a reference, bytes or a list of these,
    and is not nested deeper.
    """

    column: str
    kind: Kind | None
    direct: bool


def find(values: Mapping[str, Any], task: TaskName) -> Unused | None:
    """Returns the column that most likely names a medium, for a row whose fields have no medium. Returns None if no
    column does."""
    embeds = facts(task).embeds
    by_value: Unused | None = None
    by_link: Unused | None = None
    for column, value in values.items():
        if value is None:
            continue
        kind = strong_kind(column)
        if kind is not None and _has_value(value):
            return Unused(column=column, kind=kind, direct=_is_direct(value))
        if by_value is None and (found := _kind_of(value, column in PROSE)) is not None:
            by_value = Unused(column=column, kind=found, direct=_is_direct(value))
        elif by_link is None and not embeds and _may_link(column, value):
            by_link = Unused(column=column, kind=None, direct=True)
    return by_value or by_link


def _has_value(value: Any) -> bool:
    """Tells whether a value can be media: text, bytes, or a list or table with these; not a number or boolean."""
    if isinstance(value, str):
        return value.strip().lower() not in _NO_VALUE
    if value is None or isinstance(value, (bool, int, float)):
        return False
    if isinstance(value, Mapping):
        return any(map(_has_value, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_value, value))
    return len(value) > 0 if isinstance(value, (bytes, bytearray, memoryview)) else True


def _is_direct(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.keys() <= {"bytes", "path"}
    return all(map(_is_direct, value)) if isinstance(value, (list, tuple)) else True


def _kind_of(value: Any, prose: bool = False) -> Kind | None:
    """Returns the kind of a value that is a reference or contains a reference."""
    if isinstance(value, str):
        return kind_of_text(value, prose)
    if isinstance(value, (int, float)):
        return None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _kind_of_bytes(bytes(value[:64]))
    if isinstance(value, Mapping):
        for name, item in value.items():
            kind = strong_kind(name) if _has_value(item) else None
            if kind is None:
                kind = _kind_of(item, prose)
            if kind is not None:
                return kind
        return None
    if isinstance(value, Sequence):
        return next((kind for item in value if (kind := _kind_of(item, prose)) is not None), None)
    return "image" if type(value).__module__.startswith("PIL.") else None


def _kind_of_bytes(head: bytes) -> Kind | None:
    found = sniff(head)
    if found is not None:
        return "image" if found in IMAGE_FORMATS else "audio"
    return "video" if head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3") else None


def kind_of_text(text: str, prose: bool = False) -> Kind | None:
    """Returns the kind of a text that is a reference or a list of references. Returns None for any other text.

    `prose`: the text is one of the fields in PROSE, and counts only if it has nothing besides the reference.
    """
    # Almost every text of a large table ends here: it has no ending such as .jpg and none of the few beginnings.
    dot = text.rfind(".", -64)
    ends = dot >= 0 and text[dot + 1 : dot + 2].isalnum()
    if not ends and "://" not in text[:16] and not text.startswith(_STARTS) and (prose or "\n" not in text[:256]):
        return None
    text = text.strip()
    if found := _DATA.match(text):
        return (found[1] or "image").lower()  # type: ignore[return-value]  # image, audio or video
    if text.startswith(_BASE64) and len(text) > 64 and not re.search(r"\s", text[:4_096]):
        return "image"
    if len(text) > LONGEST:
        return None
    if text[:1] in "[{" and (inner := _decoded(text)) is not None:
        return _kind_of(inner, prose)
    if "\n" in text:
        lines = (line for line in text.splitlines() if line.strip())
        return None if prose else _kind_of_all(map(_kind_of_line, lines))
    if prose and re.search(r"\s", text) and not _PATH.match(text):
        return None
    return _kind_of_line(text)


def _kind_of_all(kinds: Iterator[Kind | None]) -> Kind | None:
    """Returns the first kind if each line has a kind."""
    first = next(kinds, None)
    return first if first is not None and all(kind is not None for kind in kinds) else None


def _kind_of_line(text: str) -> Kind | None:
    text = text.strip().strip("\"'<>")
    if text[:6].lower() == "oss://":
        found = _IN_URL.search(text)
        return _ENDINGS[found[1].lower()] if found else "image"
    if url := _URL.match(text):
        found = _IN_URL.search(url[1] or "")
    elif len(text.split()) > MOST_WORDS:
        return None
    else:
        found = _AT_END.search(text)
    return _ENDINGS[found[1].lower()] if found else None


def _decoded(text: str) -> Any:
    """Returns the list or table in a cell, written as JSON or as a Python list of texts."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return re.findall(r"'([^']*)'", text) if _PYTHON_LIST.fullmatch(text) else None


def _may_link(column: str, value: Any) -> bool:
    """Tells whether a column such as `url` or `image_id` has a value that may lead to an image."""
    said = link_kind(column)
    if said is None or isinstance(value, bool):
        return False
    if isinstance(value, (int, float)):
        return said == "number" and value == value
    if isinstance(value, (list, tuple)):
        return any(_may_link(column, item) for item in value if item is not None)
    if not isinstance(value, str) or value.strip().lower() in _NO_VALUE or re.search(r"\s", value.strip()):
        return False
    address = value.strip().split("?")[0].split("#")[0]
    if url := _URL.match(address):
        path = url[1] or "/"
        return path != "/" and not _OTHER_ENDING.search(path)
    return not _OTHER_ENDING.search(address)
