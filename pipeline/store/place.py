"""The folders of an output, held while a run owns them, so that another one in their place is noticed."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.errors import MachineError
from pipeline.store.disk import machine


class Place:
    """Holds folders open. A folder is recognised by device and inode, which stay while it is open."""

    def __init__(self, *folders: Path) -> None:
        self.left = False
        self._held: list[tuple[Path, int]] = []
        for folder in folders:
            with machine("open the output", folder):
                self._held.append((folder, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)))

    def check(self) -> None:
        """Raises MachineError if one of the paths is another folder now, or none; `left` is set then for good."""
        for folder, descriptor in self._held:
            if self.left or not _is_there(folder, descriptor):
                self.left = True
                raise MachineError(
                    f"{folder} was moved away while the run wrote to it. What to do: the output folder or a part of "
                    "it is gone: put it back, or set another output, then run the same command again. Everything "
                    "written before is kept, and is not sent again."
                )

    def close(self) -> None:
        while self._held:
            os.close(self._held.pop()[1])


def _is_there(folder: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(folder.stat(), os.fstat(descriptor))
    except OSError:
        return False
