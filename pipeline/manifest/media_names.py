"""Tells from the name of a column whether the column names media: `img`, `photo_url`, `Image`, 图片, `image_id`."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Literal

Kind = Literal["image", "audio", "video", "frames"]

_NOUNS: dict[str, Kind] = {
    **dict.fromkeys(
        ("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos"), "image"
    ),
    **dict.fromkeys(("photograph", "photographs", "thumbnail", "thumbnails", "thumb", "screenshot"), "image"),
    **dict.fromkeys(("screenshots", "jpg", "jpeg", "png", "webp", "gif", "tif", "tiff", "bmp"), "image"),
    **dict.fromkeys(("video", "videos", "vid", "mp4", "webm", "mov"), "video"),
    **dict.fromkeys(("audio", "audios", "sound", "sounds", "wav", "mp3", "flac"), "audio"),
    **dict.fromkeys(("frame", "frames"), "frames"),
}


def _misspelt(noun: str) -> Iterator[str]:
    """Yields misspelt forms of a noun: two letters swapped, one doubled, one left out (`imgae`, `immage`, `phto`).

    The first letter is never left out (mage), and no letter of video or audio (vide, audi): the results are words.
    """
    for place in range(1, len(noun) + 1):
        yield noun[:place] + noun[place - 1] + noun[place:]
        yield noun[: place - 1] + noun[place : place + 1] + noun[place - 1] + noun[place + 1 :]
        if noun[0] in "ip":
            yield noun[:place] + noun[place + 1 :]


_MISSPELT: dict[str, Kind] = {
    spelling: kind
    for noun, kind in _NOUNS.items()
    if noun.removesuffix("s") in ("image", "picture", "photo", "video", "audio")
    for spelling in _misspelt(noun)
}
_CHINESE = {
    **dict.fromkeys(("图片", "图像", "照片", "相片", "截图"), "image"),
    **dict.fromkeys(("视频",), "video"),
    **dict.fromkeys(("音频", "录音"), "audio"),
    **dict.fromkeys(("链接", "地址", "网址"), "url"),
    **dict.fromkeys(("路径",), "path"),
    **dict.fromkeys(("文件名", "文件"), "file"),
}
_LINKS = frozenset({"url", "urls", "uri", "uris", "link", "links", "href", "src", "path", "paths", "file", "files"})
_FILES = frozenset({"filename", "filenames", "filepath", "filepaths"})
_SUFFIXES = frozenset(
    {"name", "names", "bytes", "base64", "b64", "data", "list", "dir", "folder", "glob", "ref", "refs"}
)
_AFTER = _LINKS | _FILES | _SUFFIXES
_NUMBERS = frozenset({"id", "ids", "idx", "index", "no"})
_BEFORE_NOT = frozenset(
    {"has", "have", "is", "num", "n", "no", "nb", "count", "with", "without", "total", "number", "of", "per", "non"}
)
_GLUED = re.compile(
    "({})({})+".format(
        "|".join(sorted(_NOUNS, key=len, reverse=True)), "|".join(sorted(_AFTER | {"id"}, key=len)[::-1])
    )
)


@functools.lru_cache(maxsize=4_096)
def strong_kind(column: str) -> Kind | None:
    """Returns the kind of media that a column's name says. Returns None if the name is not similar to a media field."""
    words = _words(column)
    kinds = [_NOUNS.get(word) or _MISSPELT.get(word) for word in words]
    place = max((place for place, kind in enumerate(kinds) if kind is not None), default=None)
    if place is None or not _BEFORE_NOT.isdisjoint(words[:place]):
        return None
    return kinds[place] if all(word in _AFTER for word in words[place + 1 :]) else None


@functools.lru_cache(maxsize=4_096)
def link_kind(column: str) -> Literal["link", "number"] | None:
    """Returns "link" for a name that says only where something is (`url`, `file_name`), and "number" for a name that
    says only the number of an image (`image_id`). Returns None for other names."""
    words = _words(column)
    if not words:
        return None
    if words[-1] in _NUMBERS and any(word in _NOUNS for word in words[:-1]) and _BEFORE_NOT.isdisjoint(words[:-1]):
        return "number"
    named = words[-1] in _LINKS | _FILES or words[-2:] == ("file", "name")
    return "link" if named and not any(word in _NOUNS for word in words) else None


def _words(column: str) -> tuple[str, ...]:
    """Returns the words of a name in lower case, without digits: (image, url) for `imageURL_2`."""
    text = column
    for chinese, word in _CHINESE.items():
        text = text.replace(chinese, f" {word} ")
    text = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text)
    words: list[str] = []
    for word in re.findall(r"mp[34]|b(?:ase)?64|[^\W\d_]+", text.lower()):
        glued = None if word in _AFTER else _GLUED.fullmatch(word)
        words += [word] if glued is None else [glued[1], glued[2]]
    return tuple(words)
