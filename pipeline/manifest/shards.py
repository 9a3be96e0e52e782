"""Reads archives as a manifest. The members of one stem are a row. Rows have the order of the archive.

Archives are not unpacked: only the headers and the small texts beside the images are read. Measured with
tests/bench/bench_archives.py: 45 µs of CPU a row of an image and a JSON text in a tar, 35 µs in a zip; 13 MB for
200,000 members of one archive.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import ManifestError
from pipeline.machine import pass_on
from pipeline.manifest.kinds import PassedOver
from pipeline.manifest.rows import Shaper
from pipeline.manifest.shard_rows import ShardRows, is_used
from pipeline.manifest.stems import Stem, split, stems, wanted
from pipeline.media.archive import Archive
from pipeline.media.paths import DamagedArchive, Entry
from pipeline.types import MediaKind, Row


class Shards:
    """The rows of archives (absolute paths, in order) below the folder `shaper.base`.

    `passed`: the files that were passed over in the search for the archives. `audio`: audio files are inputs too.
    Raises ManifestError at once for a file that is not an archive.
    """

    schema_columns: tuple[str, ...] | None = None

    def __init__(self, files: list[str], shaper: Shaper, passed: PassedOver, *, audio: bool) -> None:
        self.root = shaper.base
        self._files = files
        self._shaper = shaper
        self._among = passed
        self._passed: PassedOver | None = None
        self._kinds: tuple[MediaKind, ...] = ("image", "audio") if audio else ("image",)
        self._facts: dict[str, Any] = {}
        self._orders: dict[str, array[int] | None] = {}
        for path in files:
            with self._opened(path):
                pass

    def rows(self, start: int = 0) -> Iterator[Row]:
        """Yields the rows of all archives in order. The last row of a damaged archive has a problem that names the
        damage.

        Raises ManifestError for an archive that changed since it was first opened.
        """
        ordinal, passed = 0, PassedOver()
        for kind, count in self._among.counts().items():
            passed.add(kind, count)
        for path in self._files:
            with self._opened(path) as archive:
                shard = ShardRows(archive, path, os.path.relpath(path, self.root), self._shaper, self._kinds)
                for stem in self._stems(shard, passed):
                    if isinstance(stem, Stem):
                        is_row = shard.is_row(stem)
                        for ending, entry in stem.members:
                            if not is_row or not is_used(ending, entry):
                                passed.file(entry.name)
                        if not is_row:
                            continue
                    if ordinal >= start:
                        yield shard.row(ordinal, stem) if isinstance(stem, Stem) else shard.broken(ordinal, stem)
                    ordinal += 1
        self._passed = passed

    def passed_over(self) -> dict[str, int]:
        """Returns the counts of the last complete reading, by kind. If there was none, the archives are read."""
        if self._passed is None:
            for _ in self.rows():
                pass
        assert self._passed is not None
        return self._passed.counts()

    def identity(self) -> str:
        """Returns a hash of each archive's path, size, modification time and inode."""
        digest = hashlib.sha256()
        for path in self._files:
            with self._opened(path) as archive:
                digest.update(os.fsencode(path) + f"\0{archive.facts}\n".encode())
        return digest.hexdigest()

    @contextmanager
    def _opened(self, path: str) -> Iterator[Archive]:
        """Opens an archive. Raises ManifestError if the archive cannot be read or has changed since the first opening.

        The check for changes is repeated at the end.
        """
        try:
            fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except OSError as error:
            pass_on(error)
            raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
        try:
            archive = Archive(fd, path, path)
            if self._facts.setdefault(path, archive.facts) != archive.facts:
                raise _changed(path)
            yield archive
            now = os.stat(path)  # noqa: PTH116
            if (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns) != archive.facts:
                raise _changed(path)
        except DamagedArchive as error:
            raise ManifestError(f"{path}: {error.reason}") from None
        except OSError as error:
            pass_on(error)
            raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from None
        finally:
            os.close(fd)

    def _stems(self, shard: ShardRows, passed: PassedOver) -> Iterator[Stem | DamagedArchive]:
        """Yields the archive's stems, and at the end the damage, if there is one."""
        archive, path = shard.archive, shard.path
        damage: list[DamagedArchive] = []
        if path not in self._orders:
            self._orders[path] = _order(wanted(_until_damage(archive.entries(), damage), PassedOver()))
            damage.clear()
        order = self._orders[path]
        entries: Iterable[Entry] = wanted(_until_damage(archive.entries(), damage), passed)
        if order is None:
            yield from stems(entries)
        else:
            for _ in entries:  # counts what is passed over, and finds the damage
                pass
            yield from stems(archive.entry_at(offset) for offset in order)
        yield from damage


def _changed(path: str) -> ManifestError:
    return ManifestError(f"{path}: the archive changed while it was read; run again")


def _until_damage(entries: Iterator[Entry], damage: list[DamagedArchive]) -> Iterator[Entry]:
    try:
        yield from entries
    except DamagedArchive as error:
        damage.append(error)


def _order(entries: Iterable[Entry]) -> array[int] | None:
    """Returns the offsets of the entries in an order in which the entries of one stem are adjacent.

    The stems are in the order of their first members. Returns None if the entries are already in this order. Sorting
    takes 16 bytes an entry.
    """
    keys, places = array("q"), array("q")
    for entry in entries:
        keys.append(hash(split(entry.name)[0]))
        places.append(entry.offset)
    if len(keys) < 2:
        return None
    import numpy as np

    _, firsts, inverse = np.unique(np.frombuffer(keys, np.int64), return_index=True, return_inverse=True)
    order = np.argsort(firsts[inverse], kind="stable")
    if bool((order == np.arange(len(order))).all()):
        return None
    return array("q", np.frombuffer(places, np.int64)[order].tobytes())
