"""Disks for store tests, through the store's own door to the disk: one that calls back, and one that remembers."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.store.disk import Files

Hook = Callable[[str, Any], None]


class Hooked(Files):
    """Calls `hook(name, argument)` before every change of the disk."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def create(self, path: Path) -> int:
        self.hook("create", path)
        return super().create(path)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.hook("write", (fd, data))
        return super().write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        self.hook("truncate", (fd, size))
        super().truncate(fd, size)

    def datasync(self, fd: int) -> None:
        self.hook("datasync", fd)
        super().datasync(fd)

    def datasync_path(self, path: Path) -> None:
        self.hook("datasync_path", path)
        super().datasync_path(path)

    def rename(self, source: Path, target: Path) -> None:
        self.hook("rename", (source, target))
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self.hook("unlink", path)
        super().unlink(path)

    def mkdir(self, path: Path) -> None:
        self.hook("mkdir", path)
        super().mkdir(path)

    def sync_folder(self, path: Path) -> None:
        self.hook("sync_folder", path)
        super().sync_folder(path)


class Step(NamedTuple):
    """One change as it was made; `file` numbers the files in the order they were created."""

    name: str
    file: int
    path: Path
    other: Path | None
    data: bytes


class Recording(Files):
    """A disk that remembers every change, for `PowerCut` to replay. `steps` may take notes of other things too."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._fds: dict[int, tuple[int, Path]] = {}
        self._count = 0

    def _add(self, name: str, file: int, path: Path, other: Path | None = None, data: bytes = b"") -> None:
        self.steps.append(Step(name, file, path, other, data))

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._count += 1
        self._fds[fd] = (self._count, path)
        self._add("create", self._count, path)
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        size = super().write(fd, data)
        self._add("write", *self._fds[fd], data=bytes(memoryview(data)[:size]))
        return size

    def datasync(self, fd: int) -> None:
        super().datasync(fd)
        self._add("datasync", *self._fds[fd])

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._add("rename", 0, source, target)

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._add("unlink", 0, path)

    def mkdir(self, path: Path) -> None:
        super().mkdir(path)
        self._add("mkdir", 0, path)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self._add("sync_folder", 0, path)


class PowerCut:
    """What a disk may hold after a power cut at some step.

    A file holds at least what was synced, and any beginning of what was written after that, perhaps with zeros behind
    it; a folder has at least the names it had at its last sync, and any beginning of the changes after that.
    """

    def __init__(self, root: Path, steps: list[Step]) -> None:
        self._root = root
        self._written: dict[int, bytes] = {}
        self._synced: dict[int, int] = {}
        self._names: dict[Path, dict[str, int | None]] = {}
        self._changes: dict[Path, list[tuple[str, int | None]]] = {}
        self._now: dict[Path, int | None] = {}
        for step in steps:
            self._apply(step)

    def _apply(self, step: Step) -> None:
        if step.name == "create":
            self._written[step.file], self._synced[step.file] = b"", 0
            self._change(step.path, step.file)
        elif step.name == "write":
            self._written[step.file] += step.data
        elif step.name == "datasync":
            self._synced[step.file] = len(self._written[step.file])
        elif step.name == "rename":
            assert step.other is not None
            file = self._now[step.path]
            # One change: both names are of one folder, and a rename is never half done.
            self._changes.setdefault(step.path.parent, []).append((f"{step.path.name}\0{step.other.name}", file))
            self._now[step.path], self._now[step.other] = None, file
        elif step.name == "unlink":
            self._change(step.path, None)
        elif step.name == "sync_folder":
            names = self._names.setdefault(step.path, {})
            for change in self._changes.pop(step.path, []):
                _changed(names, change)

    def _change(self, path: Path, file: int | None) -> None:
        self._now[path] = file
        self._changes.setdefault(path.parent, []).append((path.name, file))

    def restore(self, target: Path, luck: random.Random | None) -> None:
        """Writes what is left to `target`: the least that is certain, or with `luck` some of the rest."""
        for folder in {*self._names, *self._changes}:
            if not folder.is_relative_to(self._root):
                continue
            names = dict(self._names.get(folder, {}))
            pending = self._changes.get(folder, [])
            for change in pending[: luck.randint(0, len(pending)) if luck else 0]:
                _changed(names, change)
            place = target / folder.relative_to(self._root)
            place.mkdir(parents=True, exist_ok=True)
            for name, file in names.items():
                if file is not None:
                    (place / name).write_bytes(self._content(file, luck))

    def _content(self, file: int, luck: random.Random | None) -> bytes:
        written, synced = self._written[file], self._synced[file]
        length = luck.randint(synced, len(written)) if luck else synced
        zeros = luck.choice((0, 0, 1, 30)) if luck and length > synced else 0
        return written[:length] + bytes(min(zeros, len(written) - length))


def _changed(names: dict[str, int | None], change: tuple[str, int | None]) -> None:
    name, file = change
    old, renamed, new = name.partition("\0")
    if renamed:
        names[old], names[new] = None, file
    else:
        names[name] = file


def rounds(default: int) -> int:
    """How many rounds of chance a test plays; `PIPELINE_CRASH_ROUNDS` asks for more."""
    return int(os.environ.get("PIPELINE_CRASH_ROUNDS", default))
