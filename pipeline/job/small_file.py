"""Small files that a user names: read to a bound, and never waited for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_small(path: Path, most: int) -> bytes:
    """The bytes of a plain file. Raises OSError: for a device, a pipe that nobody writes to, more than `most` bytes.

    A pipe that somebody writes to (`<(pass show key)`) is read to its end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
            raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
        os.set_blocking(descriptor, True)
        found = b""
        while len(found) <= most and (more := file.read(most + 1 - len(found))):
            found += more
    if len(found) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most:,} bytes", str(path))
    return found
