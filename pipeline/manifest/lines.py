"""The lines of text files, packed or not and in any encoding, as UTF-8: numbered, of bounded length."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

# No service takes a body above 64 MiB (PROTOCOLS.md §3.7), so that a longer line cannot be one request.
MAX_LINE_BYTES = 64 * 1024 * 1024

_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte order marks: a text that begins with one says its encoding itself."""
_CHUNK = 1 << 18


def lines(path: str, encoding: str | None = None) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file with their numbers from 1, in UTF-8 without a byte order mark; None for one that is too long.

    What is not of the `encoding` (None: UTF-8) stays as bytes that are not UTF-8.
    """
    with open_bytes(path, encoding) as file:
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


def open_bytes(path: str, encoding: str | None = None) -> IO[bytes]:
    """A file for reading as UTF-8, unpacked if its name ends in `.gz`; the line ends of old Macs become newlines."""
    file = _unpacked(path)
    try:
        head = file.peek(_CHUNK)
    except BaseException:
        file.close()
        raise
    encoding = encoding or next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if encoding is None and not (b"\r" in head and b"\n" not in head):
        return file
    return io.BufferedReader(_Recoded(file, encoding or "utf-8"), _CHUNK)


def _unpacked(path: str) -> io.BufferedReader:
    if path.lower().endswith(".gz"):
        return cast("io.BufferedReader", gzip.open(path, "rb"))
    return cast("io.BufferedReader", Path(path).open("rb", buffering=_CHUNK))


class _Recoded(io.RawIOBase):
    """A text as UTF-8. What is broken becomes a byte that is not UTF-8, so that its line is told apart."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self._file = file
        decode = codecs.getincrementaldecoder(encoding)(_BROKEN)
        self._decoder = io.IncrementalNewlineDecoder(decode, translate=True)
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            chunk = self._file.read(_CHUNK)
            self._ended = not chunk
            self._ready = self._decoder.decode(chunk, final=self._ended).encode(errors="surrogateescape")
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


_BROKEN = "pipeline.manifest.broken"
codecs.register_error(_BROKEN, lambda error: ("\udcff", cast("UnicodeDecodeError", error).end))
