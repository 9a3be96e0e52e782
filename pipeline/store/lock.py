"""Allows one run at a time in an output folder, and notices when the folder is replaced."""

from __future__ import annotations

import datetime as dt
import errno
import fcntl
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pipeline.errors import Locked, MachineError
from pipeline.store.disk import machine

_TRIES = 5


class Holder(msgspec.Struct, frozen=True):
    """The process that holds a lock, as written in the lock file."""

    pid: int
    host: str
    started_at: str
    run_id: str


@contextmanager
def locked(path: Path, run_id: str) -> Iterator[None]:
    """Holds the output's lock. Raises Locked, which names the process that holds the lock, and MachineError.

    The kernel drops the lock when the process ends, also after a kill: an old lock file never blocks. If several hosts
    share the folder, the lock is only as reliable as the locks of the file system. NFS 4 and most cluster file systems
    pass locks on to other hosts. Some mounts (`nolock`, many object-store mounts) keep locks to one host: there, two
    hosts can hold the same output, and neither host notices.
    """
    for _ in range(_TRIES):
        with machine("open the lock file", path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _take(fd, path, run_id)
            if _is_there(path, fd):  # else a run that was refused has just removed its new output
                yield
                return
        finally:
            os.close(fd)
    raise Locked(f"{path} is replaced again and again by other processes. Wait for them to end, then run again.")


def running(path: Path) -> str | None:
    """Returns a description of the process that holds the lock. Returns None if no process holds the lock."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _who(_holder(fd))
    finally:
        os.close(fd)
    return None


def _exclusive(fd: int) -> None:
    """Takes the lock. Tries for 50 ms, because `running` holds the lock for some microseconds. Raises OSError."""
    for _ in range(5):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            threading.Event().wait(0.01)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _take(fd: int, path: Path, run_id: str) -> None:
    try:
        _exclusive(fd)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise Locked(_message(path, _holder(fd))) from None
        with machine("take the lock", path):
            raise
    started = dt.datetime.now(dt.UTC).isoformat(" ", "seconds")
    holder = Holder(pid=os.getpid(), host=socket.gethostname(), started_at=started, run_id=run_id)
    with machine("write the lock file", path):
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(holder) + b"\n", 0)


def _holder(fd: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except msgspec.DecodeError:
        return None


def _who(holder: Holder | None) -> str:
    if holder is None:
        return "another process"
    return f"process {holder.pid} on {holder.host} since {holder.started_at} (run {holder.run_id})"


def _message(path: Path, holder: Holder | None) -> str:
    return (
        f"{path.parent} is in use by {_who(holder)}. Wait for it to end, or end it; then run the same command again. "
        "Reading (query, status, export, report) works meanwhile. On a folder shared between hosts the lock is only as "
        "good as the file system's own: never run one job on two hosts at once there."
    )


class Place:
    """Folders that are held open, to notice when a folder is moved or replaced.

    A folder is recognised by its device and inode. No other folder can get the same inode while the folder is open.
    """

    def __init__(self, *folders: Path) -> None:
        self.left = False
        self._held: list[tuple[Path, int]] = []
        for folder in folders:
            with machine("open the output", folder):
                self._held.append((folder, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)))

    def check(self) -> None:
        """Raises MachineError if one of the paths now leads to another folder or to no folder.

        After such an error, `left` is True and every later check raises MachineError.
        """
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
