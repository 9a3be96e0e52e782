"""Which file names stand for pictures, sounds, videos and tables."""

from __future__ import annotations

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
