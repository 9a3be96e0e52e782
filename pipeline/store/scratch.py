"""Folders for what a command keeps on disk while it works; what a killed command left is swept by the next one."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "pipeline-planning-"
_UNLOCKED = ("pipeline-plan-", "pipeline-query-", "pipeline-sql-", "pipeline-new-")
"""Of version 0.1.0, of DuckDB's own spilling, and of a folder that is not locked yet: these go by their age. The name
of a query's folder (`pipeline-sql-PID-…`) holds its process: such a folder stays while that process lives."""
OLD_SECONDS = 86_400.0


class Scratch:
    """A temporary folder that is locked as long as its process lives. Raises OSError."""

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        made = Path(tempfile.mkdtemp(prefix="pipeline-new-"))
        self._lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The name by which others sweep it comes last: it is locked by then.
        self.path = made.rename(made.with_name(PREFIX + made.name.removeprefix("pipeline-new-")))

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _sweep(folder: Path) -> None:
    """Removes the folders of this user that no process works in any more. What cannot be removed stays."""
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            ours = entry.name.startswith((PREFIX, *_UNLOCKED)) and not _lives(entry.name)
            if ours and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _sweep_one(Path(entry.path), locked=entry.name.startswith(PREFIX))


def _lives(name: str) -> bool:
    """Whether the process that a folder's name holds is still there."""
    found = re.match(r"pipeline-sql-(\d+)-", name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _sweep_one(path: Path, *, locked: bool) -> None:
    facts = path.stat()
    if facts.st_uid != os.getuid() or not (locked or time.time() - facts.st_mtime > OLD_SECONDS):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
