"""Finds a member by its name, for references that stand in a table: an index of 16 bytes a member, made once."""

from __future__ import annotations

import threading
import unicodedata
from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from pipeline.media.archive import Archive
from pipeline.media.members import DamagedArchive, Entry

if TYPE_CHECKING:
    import numpy as np

MOST_MEMBERS = 4_000_000
"""Members whose places are kept, over all archives (64 MB); the archive that was used longest ago goes first."""


class _Index:
    """The places of one archive's members, sorted by the hash of their names; of equal names, the first comes first."""

    def __init__(self, archive: Archive) -> None:
        import numpy as np

        hashes, places = array("q"), array("q")
        try:
            for entry in archive.entries():
                hashes.append(hash(entry.name))
                places.append(entry.offset)
        except DamagedArchive:
            pass  # what came before the damage can be read
        found = np.frombuffer(hashes, dtype=np.int64) if hashes else np.empty(0, np.int64)
        order = np.argsort(found, kind="stable")
        self._hashes: np.ndarray[Any, Any] = found[order]
        self._places: np.ndarray[Any, Any] = np.array(places, dtype=np.int64)[order]

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, archive: Archive, name: str) -> Entry | None:
        wanted = hash(name)
        at = int(self._hashes.searchsorted(wanted))
        while at < len(self) and self._hashes[at] == wanted:
            entry = archive.entry_at(int(self._places[at]))
            if entry.name == name:
                return entry
            at += 1
        return None


_indexes: OrderedDict[Any, _Index] = OrderedDict()
_lock = threading.Lock()


def find(archive: Archive, name: str) -> Entry | None:
    """The first member of that name, in either Unicode form; None for none. Raises DamagedArchive where the archive
    changed meanwhile."""
    with _lock:
        index = _indexes.pop(archive.facts, None) or _Index(archive)
        _indexes[archive.facts] = index
        while len(_indexes) > 1 and sum(map(len, _indexes.values())) > MOST_MEMBERS:
            _indexes.popitem(last=False)
    forms = (name,) if name.isascii() else (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    for form in dict.fromkeys(forms):
        if (entry := index.find(archive, form)) is not None:
            return entry
    return None
