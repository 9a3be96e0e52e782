"""The lines of text files, packed or not: numbered, without a byte order mark, of bounded length."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# No service takes a body above 64 MiB (PROTOCOLS.md §3.7), so that a longer line cannot be one request.
MAX_LINE_BYTES = 64 * 1024 * 1024


def lines(path: str) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file with their numbers from 1; None for one that is too long."""
    with open_bytes(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if number == 1 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            if len(line) > MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE_BYTES)
                yield number, None
            else:
                yield number, line


def open_bytes(path: str) -> IO[bytes]:
    """A file for reading, unpacked on the way if its name ends in `.gz`."""
    if path.lower().endswith(".gz"):
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return Path(path).open("rb", buffering=1 << 18)
