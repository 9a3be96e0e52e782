"""Paths as rows write them: the folder of a manifest, members of archives, and names that are missing on disk."""

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
    """One entry of an archive, as its headers say.

    `offset`: of the entry's first header, in a zip of its record in the central directory. `data`: of the content, in a
    zip of the local header before it. `size`: bytes of the content, `packed`: as they lie in the archive. `crc`: None
    where the archive has none. `kind`: `file`, `folder`, or what else it is. `reason`: why the content cannot be read.
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
    """The headers of an archive cannot be read from `offset` on; `reason` says why."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def archive_kind(name: str) -> ArchiveKind | None:
    """What a file name's ending stands for; None for no archive, or one that cannot be read by offset."""
    ending = name[-4:].lower()
    return "tar" if ending == ".tar" else "zip" if ending == ".zip" else None


def is_packed(name: str) -> bool:
    """Whether a name is that of an archive which is compressed as a whole, so that no member has an offset."""
    return _PACKED.search(name) is not None


def split_reference(ref: str) -> tuple[str, str | None]:
    """A reference as (path, name of the member); None for a path that names no member."""
    if "#" not in ref:
        return ref, None
    found = _REFERENCE.fullmatch(ref)
    return (ref, None) if found is None else (found[1], plain_name(found[2]))


def plain_name(name: str) -> str:
    """A member's name without the `./` that tar writes for the members of the folder `.`."""
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


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


MOST_NAMES = 20_000
"""Names of a folder that are looked through for another spelling; every missing file of a long list may ask."""

PACKED = (
    "; an archive that is compressed as a whole has no members that can be read by offset: unpack it to a plain .tar "
    "(gunzip, zstd -d), or pack a .zip"
)
"""What to do about a .tar.gz and its kind."""

_PYTHON_LIST = re.compile(r"\[\s*'.*'\s*,?\s*\]", re.DOTALL)


def other_form(path: str) -> str | None:
    """The path with each of its names composed (NFC) or decomposed (NFD) as it stands on the disk; None where that is
    no other path, or not there. macOS decomposes names, most other systems keep what they are given."""
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
    """What a person may have meant by a path that is not there, as the end of a message; "" where nothing is near."""
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
    """The path with each missing name replaced by one that differs in case, width or blanks; of the last name the
    ending may differ too."""
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
    """Folded name, and folded stem, → the name in a folder. `changed`: its time of change, so that a folder is read
    again once names were added."""
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
