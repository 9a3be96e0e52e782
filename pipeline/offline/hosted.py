"""Sample pictures that the service hosts at its own address, below /samples/: for models that take URLs only.

cat.jpg is sample_data/photos/chelsea.jpg; its source and licence stand in sample_data/README.md.
"""

from __future__ import annotations

from importlib import resources
from urllib.parse import urlsplit

PATH = "/samples/"
NAMES = ("cat.jpg",)


def sample(name: str) -> bytes | None:
    """The picture of that name, a JPEG; None for any other name."""
    return resources.files("pipeline.offline").joinpath("samples", name).read_bytes() if name in NAMES else None


def sample_at(url: str, host: str) -> bytes | None:
    """The picture behind `url` if the service itself hosts it; `host` is the address that the request came to."""
    parts = urlsplit(url)
    if parts.netloc != host or not parts.path.startswith(PATH):
        return None
    return sample(parts.path.removeprefix(PATH))
