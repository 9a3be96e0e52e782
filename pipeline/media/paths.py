"""Paths as rows write them: the folder of a manifest, members of archives, and names that are not on the disk."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.errors import ManifestError
from pipeline.job.schema import JobFile

ArchiveKind = Literal["tar", "zip"]

_REFERENCE = re.compile(r"(.*?\.(?:tar|zip))#(.+)", re.IGNORECASE | re.DOTALL)
_PACKED = re.compile(r"\.(?:tar\.(?:gz|bz2|xz|zst|lz4|lzma|z)|tgz|tbz2?|txz|tzst|7z|rar)$", re.IGNORECASE)


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of an archive, as the headers describe it.

    `offset`: where the entry's first header begins; in a zip, the entry's record in the central directory. `data`:
    where the content begins; in a zip, the local header before the content. `size`: bytes of the content. `packed`:
    bytes that the content takes in the archive. `crc`: None if the archive states no checksum. `kind`: `file`,
    `folder`, or a word for another kind. `reason`: why the content cannot be read.
    """

    name: str
    offset: int
    data: int
    size: int
    packed: int
    crc: int | None = None
    deflated: bool = False
    kind: str = "file"
    reason: str | None = None


class DamagedArchive(Exception):
    """The error for an archive whose headers cannot be read from `offset` on. `reason` says why."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def archive_kind(name: str) -> ArchiveKind | None:
    """Returns the kind of archive by a file name's ending; None if it is no archive, or cannot be read by offset."""
    ending = name[-4:].lower()
    return "tar" if ending == ".tar" else "zip" if ending == ".zip" else None


def is_packed(name: str) -> bool:
    """Tells whether a name is that of an archive that is compressed as a whole, so that no member has an offset."""
    return _PACKED.search(name) is not None


def split_reference(ref: str) -> tuple[str, str | None]:
    """Splits a reference into (path, name of the member). The name is None if the reference names no member."""
    if "#" not in ref:
        return ref, None
    found = _REFERENCE.fullmatch(ref)
    return (ref, None) if found is None else (found[1], plain_name(found[2]))


def plain_name(name: str) -> str:
    """Returns a member's name without the `./` that tar writes for the members of the folder `.`."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


_REVISION_CHARS = 200


class Root(str):
    """The absolute folder in which relative paths begin.

    A path, and the links behind it, may reach this folder and the folders in `beside`. `beside` holds the manifest's
    own folder, if `media.root` is another folder, and the `blobs` of a cache folder of the Hugging Face hub. A path
    that leaves this folder is resolved from the first folder of `beside`.
    """

    beside: tuple[str, ...] = ()


def root_of(folder: str, job: JobFile) -> Root:
    """Returns the root for a manifest in `folder` (absolute). Raises ManifestError if `media.root` is not a folder."""
    place = job.media.root
    if place is not None and not Path(place).is_dir():
        raise ManifestError(f"media.root: there is no folder {place}")
    root = Root(place or folder)
    root.beside = tuple(one for one in (folder, _blobs(folder)) if one is not None and one != root)
    return root


def hub_snapshot(folder: str) -> str:
    """Returns the snapshot folder for a cache folder of the Hugging Face hub; returns any other folder unchanged.

    The snapshot is the one that `refs/main` names, or the only one. Without either, the cache folder is returned.
    The layout: https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    """
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
    """Returns the folder that the links of a hub snapshot lead to: `…/blobs` for `…/snapshots/<revision>/…`."""
    parts = folder.split("/")
    for place in range(len(parts) - 2, 0, -1):
        if parts[place] == "snapshots":
            blobs = "/".join((*parts[:place], "blobs"))
            return blobs if Path(blobs).is_dir() else None
    return None


MOST_NAMES = 20_000
"""The most names of a folder that are searched for another spelling. There is a bound because every missing file of a
long list may start a search."""

PACKED = (
    "; an archive that is compressed as a whole has no members that can be read by offset: unpack it to a plain .tar "
    "(gunzip, zstd -d), or pack a .zip"
)
"""The advice for a .tar.gz and similar archives, as the end of a message."""

_PYTHON_LIST = re.compile(r"\[\s*'.*'\s*,?\s*\]", re.DOTALL)


def other_form(path: str) -> str | None:
    """Returns the path with each name in the Unicode form (NFC or NFD) that exists on the disk.

    Returns None if that path equals `path`, or does not exist. macOS decomposes names (NFD); most other systems keep
    the form that they are given.
    """
    if path.isascii():
        return None
    place = ""
    for name in path.strip("/").split("/"):
        forms = dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)))
        found = next((form for form in forms if os.path.lexists(f"{place}/{form}")), None)
        if found is None:
            return None
        place = f"{place}/{found}"
    return None if place == path else place


def advice(path: str) -> str:
    """Returns a guess at the meaning of a path that does not exist, as the end of a message; "" without a guess."""
    name = path.rpartition("/")[2] if not path.endswith("]") else path[path.find("/[") + 1 :]
    if _PYTHON_LIST.fullmatch(name):
        return _as_json(name)
    if re.match(r"[A-Za-z]:[\\/]", path) and os.name != "nt":
        return "; this is a Windows path"
    if is_packed(path.partition("#")[0]):
        return PACKED
    near = _near(path.replace("\\", "/"))
    return f"; did you mean {near}?" if near is not None and near != path else ""


def _as_json(text: str) -> str:
    try:
        found = ast.literal_eval(text)
        shown = ": " + json.dumps(found, ensure_ascii=False) if len(text) <= 200 else ""
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        shown = ""
    return f"; this is a list as Python prints it; write JSON{shown}"


def _near(path: str) -> str | None:
    """Returns the path with each missing name replaced by an existing name; None if a name has no replacement.

    The existing name may differ in case, in the width of characters and in blanks around it. The last name may also
    differ in its ending.
    """
    place, names = "", path.strip("/").split("/")
    for number, name in enumerate(names):
        if not os.path.lexists(f"{place}/{name}"):
            folder = _folder(place or "/")
            found = folder.get(_folded(name))
            if found is None and number == len(names) - 1:
                found = folder.get(_stem(_folded(name)))
            if found is None:
                return None
            name = found
        place = f"{place}/{name}"
    return place


def _folder(folder: str) -> dict[str, str]:
    try:
        return _spellings(folder, os.stat(folder).st_mtime_ns)  # noqa: PTH116
    except OSError:
        return {}


@functools.lru_cache(maxsize=8)
def _spellings(folder: str, changed: int) -> dict[str, str]:
    """Returns each folded name, and each folded stem, of a folder → the name in the folder.

    `changed`: the folder's time of change. It makes the cache read a folder again after names were added.
    """
    found: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= MOST_NAMES:
                break
            folded = _folded(entry.name)
            found[folded] = entry.name
            found.setdefault(_stem(folded), entry.name)
    return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
