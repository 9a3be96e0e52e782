"""Which file names are images, audio and videos, and the count of files that are passed over."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


# The image formats that the services take, and other formats that folders often contain (GIF, HEIC, AVIF). A file in a
# format that no service takes becomes a failure with a reason. Without its format here, the file would be passed over.
IMAGES = _suffixes(
    "jpg jpeg jpe jfif png apng webp gif bmp dib tif tiff ico icns jp2 j2k jpf jpx j2c jpc sgi rgb rgba bw ppm "
    "pgm pbm heic heif avif pdf"
)
AUDIO = _suffixes("wav mp3 flac ogg oga opus m4a aac aif aiff amr wma")
VIDEOS = _suffixes("mp4 m4v mov qt 3gp 3g2 mkv webm avi wmv asf flv f4v mpg mpeg mpe vob ts mts m2ts ogv")

Kind = Literal["image", "audio", "video"]
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(IMAGES, "image"),
    **dict.fromkeys(AUDIO, "audio"),
    **dict.fromkeys(VIDEOS, "video"),
}


def kind_of(name: str) -> Kind | None:
    """Returns the kind of media by the ending of a file name, in upper or lower case; None for other endings."""
    return _KINDS.get(suffix_of(name))


def suffix_of(name: str) -> str:
    """Returns the ending with its dot, in lower case. Returns "" for none; `.jpg` alone is a hidden file without
    ending."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") + 1 else ""


MOST_KINDS = 20
"""The most kinds that are counted by name. A folder may contain any number of endings."""

_PLAIN_ENDING = re.compile(r"\.[a-z0-9_-]{1,12}")
_OTHER = "other"


class PassedOver:
    """Counts files by kind. A kind is an ending such as `.svg`, or another word such as `hidden`."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def file(self, name: str) -> None:
        """Counts one file by the ending of its name."""
        suffix = suffix_of(name)
        self.add("no ending" if not suffix else suffix if _PLAIN_ENDING.fullmatch(suffix) else _OTHER)

    def add(self, kind: str, count: int = 1) -> None:
        """Adds `count` entries of a kind. If there are too many kinds, the entry is counted as `other`."""
        known = kind in self._counts or len(self._counts) < MOST_KINDS
        self._counts[kind if known else _OTHER] += count

    def counts(self) -> dict[str, int]:
        """Returns kind → count, the highest count first."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1], item[0])))
