"""What a file that is not there as written may be: the same name in Unicode's other form, or another spelling."""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import unicodedata

from pipeline.media.members import is_packed

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
