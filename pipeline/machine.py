"""Errors of the machine (disk, memory, descriptors, threads), told apart from errors of a row or a job."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator

from pipeline.errors import Fault, MachineError

SHORT = "Local.MachineShort"
"""The code of a fault that a shortage of this machine causes. The row of this fault remains, and never fails."""

_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_SHORTAGES = (
    "can't start new thread",
    "can't allocate lock",
    "cannot allocate memory",
    "failed to launch worker thread",  # pyarrow
)
_UNMAPPED = (
    "failed to map segment",
    "cannot map zero-fill pages",
    "cannot create shared object descriptor",
    "shared object file: cannot allocate memory",
    "shared object file: too many open files",
)
"""Words by which the system's loader says that a library found no memory or no descriptor (glibc, elf/dl-load.c)."""

ADVICE = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EROFS: "the file system is read-only: mount it writable, or set another output",
    errno.EACCES: "no permission: give this user write access, or set another output",
    errno.EPERM: "no permission: give this user write access, or set another output",
    errno.ENOENT: "the output folder or a part of it is gone: put it back, or set another output",
    errno.EIO: "the device reports an error: check the disk",
    errno.ESTALE: "the shared folder has gone away: mount it again",
    errno.EFBIG: "the file is larger than is allowed here: raise the limit (ulimit -f)",
    errno.EMFILE: "no descriptor is left: raise the limit (ulimit -n), or lower limits.concurrency",
    errno.ENFILE: "no descriptor is left on this machine: end other programs",
    errno.ENOMEM: "no memory is left: free some, or raise the limit (ulimit -v)",
    errno.ENOBUFS: "no memory is left for connections: lower limits.concurrency",
}
"""Advice for a person, by errno."""

_ALWAYS = frozenset(ADVICE) - {errno.EACCES, errno.EPERM, errno.ENOENT}
"""Errors that the machine always causes. The other errors of ADVICE may come from a wrong path."""


LEAST_ADDRESS_SPACE = 1_150 * 2**20
"""Bytes. Measured with two cores, DuckDB and pyarrow, 3,000 rows: 1,172 MiB (`ulimit -v 1200000`) are enough. Below
1,100 MiB, the libraries of a run (loader, OpenBLAS, jemalloc) end the process with their own messages, before Python
sees an error."""


def require_address_space() -> None:
    """Raises MachineError if the process may use less address space than every run needs."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most != resource.RLIM_INFINITY and most < LEAST_ADDRESS_SPACE:
        raise MachineError(
            f"the limit of this process's address space (ulimit -v) is {most // 2**20:,} MiB, and a job needs "
            f"{LEAST_ADDRESS_SPACE // 2**20:,} MiB at least. What to do: raise the limit, or limit the memory that is "
            "used (a cgroup, systemd's MemoryMax) instead of addresses; then run the same command again. Nothing was "
            "begun."
        )


def is_scarce(error: BaseException) -> bool:
    """Tells whether the error says that descriptors, memory or threads are used up. This shortage passes when other
    work ends."""
    return any(_scarce(one) for one in _chain(error))


def pass_on(error: BaseException) -> None:
    """Raises the error if a shortage of the machine is the reason. Is for code that takes any other error for a defect
    of what the code reads."""
    if is_scarce(error):
        raise error


def shortage(error: BaseException) -> Fault:
    """Returns the fault of a call that could not be made because of a shortage."""
    message = f"this machine is short of what a call needs: {_words(error)}"
    return Fault("transient", SHORT, message, retry="yes")


def machine_error_of(error: BaseException) -> MachineError | None:
    """Returns the error as a MachineError if the machine is the reason; None for any other error."""
    if isinstance(error, MachineError):
        return error
    if isinstance(error, BaseExceptionGroup):
        found = [machine_error_of(one) for one in error.exceptions]
        return found[0] if found and all(found) else None
    for one in _chain(error):
        advice = _advice(one)
        if advice is not None:
            return MachineError(
                f"the machine refuses to go on: {_words(one)}. What to do: {advice}, then run the same command again. "
                "Everything written before is kept, and is not sent again."
            )
    return None


def _scarce(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno in _SCARCE
    if isinstance(error, ImportError):
        return any(words in str(error).lower() for words in _UNMAPPED)
    told = isinstance(error, RuntimeError) or type(error).__module__.startswith("pyarrow")
    return told and any(words in str(error).lower() for words in _SHORTAGES)


def _advice(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        if "No usable temporary directory" in str(error):
            return "give this user a temporary folder that can be written to (TMPDIR)"
        return ADVICE[error.errno] if error.errno in _ALWAYS else None
    if isinstance(error, ImportError) and "open files" in str(error).lower():
        return ADVICE[errno.EMFILE]
    if _scarce(error):
        return "free some memory, or raise the limits (ulimit -v, ulimit -u)"
    return _database_advice(error)


def _database_advice(error: BaseException) -> str | None:
    """Returns the advice for an error of DuckDB or SQLite, which tell the system's reason in words alone; None for no
    advice."""
    if not type(error).__module__.lstrip("_").startswith(("duckdb", "sqlite3")):
        return None
    words = str(error).lower()
    for number, told in (
        (errno.ENOSPC, ("no space left", "disk is full", "database or disk is full", "could not write all bytes")),
        (errno.EMFILE, ("too many open files",)),
        (errno.EFBIG, ("file too large",)),
        (errno.ENOMEM, ("out of memory", "cannot allocate memory", "could not allocate", "failed to allocate")),
        (errno.EIO, ("input/output error",)),
    ):
        if any(one in words for one in told):
            return ADVICE[number]
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yields the error, and the errors that it followed from."""
    one: BaseException | None = error
    for _ in range(20):
        if one is None:
            return
        yield one
        within = getattr(one, "os_error", None)  # aiohttp keeps the system's error there
        if isinstance(within, OSError):
            yield within
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _words(error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).splitlines()[0][:300]
