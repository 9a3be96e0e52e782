"""The calls that change the output folder. All changes go through them, so that tests can record and refuse changes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import MachineError
from pipeline.machine import ADVICE


class Files:
    """Plain system calls. Paths are absolute. Every method raises only OSError."""

    def create(self, path: Path) -> int:
        """Creates a file for writing. Returns the descriptor. A file that a crash left under the name is truncated."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Makes one write call, which may write only a part of the data. Returns the number of bytes written."""
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        """Cuts the file to `size` bytes. The next write goes there."""
        os.ftruncate(fd, size)
        os.lseek(fd, size, os.SEEK_SET)

    def datasync(self, fd: int) -> None:
        """Returns when the file's bytes and length are on disk."""
        os.fdatasync(fd)

    def datasync_path(self, path: Path) -> None:
        """Does the same as `datasync` for a file that another process wrote."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Renames `source` to `target`, and so replaces `target` in one step."""
        source.replace(target)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def rmdir(self, path: Path) -> None:
        """Removes an empty folder."""
        path.rmdir()

    def mkdir(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Returns when the names in the folder are on disk. Then a rename outlives a power cut."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


DISK = Files()


def write_all(files: Files, fd: int, data: bytes | memoryview) -> None:
    """Writes all bytes. Makes several calls if the system takes only a part of the bytes at once."""
    view = memoryview(data).cast("B")
    while len(view):
        view = view[files.write(fd, view) :]


@contextlib.contextmanager
def replacing(files: Files, path: Path) -> Iterator[int]:
    """Yields a descriptor of a temporary file beside `path`. At the end, the file is synced and renamed to `path`.

    If an error occurs before the rename, the temporary file is removed and `path` is unchanged. Temporary names start
    with a dot and end in `.tmp`, which no reader's pattern matches.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    fd = files.create(temporary)
    try:
        try:
            yield fd
            files.datasync(fd)
        finally:
            files.close(fd)
        files.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            files.unlink(temporary)
        raise
    files.sync_folder(path.parent)


def remove_temporary(files: Files, folder: Path) -> None:
    """Deletes the temporary files of `replacing` that a killed run left. Raises OSError."""
    for path in folder.glob(".*.tmp"):
        files.unlink(path)


@contextlib.contextmanager
def machine(what: str, path: Path) -> Iterator[None]:
    """Turns an OSError into a MachineError. Its message says what was tried, where, why it failed, and what to do."""
    try:
        yield
    except OSError as error:
        raise machine_error(what, path, error) from error


def machine_error(what: str, path: Path, error: OSError) -> MachineError:
    """Returns the MachineError for an OSError. `what` completes the sentence "could not …"."""
    reason = error.strerror or type(error).__name__
    advice = ADVICE.get(error.errno or 0, "see to the machine")
    return MachineError(
        f"could not {what} in {path}: {reason}. What to do: {advice}, then run the same command again. "
        "Everything written before is kept, and is not sent again."
    )
