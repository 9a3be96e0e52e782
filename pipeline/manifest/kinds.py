"""Which file names are images, audio, videos and tables, and the count of files that are passed over."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from pipeline.job.schema import TableFormat

# The picture formats of the services' input lists, and those that people's folders hold besides (GIF, HEIC, AVIF):
# these become rows too, so that a format nobody takes is a failure with a reason and not a file that silently vanished.
IMAGES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".apng",
        ".webp",
        ".gif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".ico",
        ".icns",
        ".jp2",
        ".j2k",
        ".jpf",
        ".jpx",
        ".j2c",
        ".jpc",
        ".sgi",
        ".rgb",
        ".rgba",
        ".bw",
        ".ppm",
        ".pgm",
        ".pbm",
        ".heic",
        ".heif",
        ".avif",
        ".pdf",
    )
)
AUDIO = frozenset(
    (
        ".wav",
        ".mp3",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".m4a",
        ".aac",
        ".aif",
        ".aiff",
        ".amr",
        ".wma",
    )
)
VIDEOS = frozenset(
    (
        ".mp4",
        ".m4v",
        ".mov",
        ".qt",
        ".3gp",
        ".3g2",
        ".mkv",
        ".webm",
        ".avi",
        ".wmv",
        ".asf",
        ".flv",
        ".f4v",
        ".mpg",
        ".mpeg",
        ".mpe",
        ".vob",
        ".ts",
        ".mts",
        ".m2ts",
        ".ogv",
    )
)
TABLES: dict[str, TableFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "txt",
    ".parquet": "parquet",
    ".pq": "parquet",
}

Kind = Literal["image", "audio", "video"] | TableFormat


def kind_of(name: str) -> Kind | None:
    """What a file name's ending stands for, upper or lower case (`.csv.gz` and the like too); None for others."""
    suffix = suffix_of(name)
    if suffix == ".gz":
        inner = TABLES.get(suffix_of(name[:-3]))
        return None if inner == "parquet" else inner
    if suffix in IMAGES:
        return "image"
    if suffix in AUDIO:
        return "audio"
    if suffix in VIDEOS:
        return "video"
    return TABLES.get(suffix)


def suffix_of(name: str) -> str:
    """The ending with its dot, in lower case; "" without one (`.jpg` alone has none: it is a hidden file)."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > name.rfind("/") + 1 else ""


MOST_KINDS = 20
"""Kinds counted by name; a folder may hold any number of endings."""

_PLAIN_ENDING = re.compile(r"\.[a-z0-9_-]{1,12}")
_OTHER = "other"


class PassedOver:
    """Counts by kind: an ending such as `.svg`, `hidden`, the name of a service folder, or words of the caller."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def file(self, name: str) -> None:
        """Counts one file by the ending of its name."""
        suffix = suffix_of(name)
        self.add("no ending" if not suffix else suffix if _PLAIN_ENDING.fullmatch(suffix) else _OTHER)

    def add(self, kind: str, count: int = 1) -> None:
        """Counts `count` entries of a kind, together with all rare kinds where there are too many."""
        known = kind in self._counts or len(self._counts) < MOST_KINDS
        self._counts[kind if known else _OTHER] += count

    def counts(self) -> dict[str, int]:
        """Kind → how many, the most first, then by name."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1], item[0])))
