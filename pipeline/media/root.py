"""Where the relative paths of a manifest begin, and which folders they may reach."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import ManifestError
from pipeline.job.schema import JobFile

_REVISION_CHARS = 200


class Root(str):
    """An absolute folder in which relative paths begin. A path, and the links behind it, may reach this folder and the
    folders in `beside`: the manifest's own, where `media.root` is another one, and the `blobs` of a cache folder of
    the Hugging Face hub. A path that leaves the folder is taken from the first of `beside`."""

    beside: tuple[str, ...] = ()


def root_of(folder: str, job: JobFile) -> Root:
    """The root for a manifest in `folder` (absolute). Raises ManifestError where `media.root` is no folder."""
    place = job.media.root
    if place is not None and not Path(place).is_dir():
        raise ManifestError(f"media.root: there is no folder {place}")
    root = Root(place or folder)
    root.beside = tuple(one for one in (folder, _blobs(folder)) if one is not None and one != root)
    return root


def hub_snapshot(folder: str) -> str:
    """The snapshot that a cache folder of the Hugging Face hub stands for (`refs/main`, or the only one); any other
    folder is itself. The layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache"""
    place = Path(folder)
    if not (place / "blobs").is_dir() or not (place / "snapshots").is_dir():
        return folder
    revisions = sorted(os.listdir(place / "snapshots"))  # noqa: PTH208 - names only
    main = place / "refs/main"
    if main.is_file():
        with main.open(encoding="utf-8", errors="replace") as file:
            wanted = file.read(_REVISION_CHARS).strip()
        if wanted in revisions:
            return str(place / "snapshots" / wanted)
    return str(place / "snapshots" / revisions[0]) if len(revisions) == 1 else folder


def _blobs(folder: str) -> str | None:
    """The folder of contents that the links of a snapshot lead to: `…/blobs` for `…/snapshots/<revision>/…`."""
    parts = folder.split("/")
    for place in range(len(parts) - 2, 0, -1):
        if parts[place] == "snapshots":
            blobs = "/".join((*parts[:place], "blobs"))
            return blobs if Path(blobs).is_dir() else None
    return None
