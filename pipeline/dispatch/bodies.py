"""Response bodies: decompression in small steps, and a bound on the bytes of all bodies together."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator

import anyio

from pipeline.errors import Fault

STEP = 64 * 1024
"""Bytes that are unpacked at once. A kilobyte of gzip can hold a megabyte."""

FREE = 1024 * 1024
"""Bytes of each body that are not counted. No usual answer is larger."""

MOST_HELD = 128 * 1024 * 1024
"""Most bytes of all bodies that are being read. The first FREE bytes of each body do not count."""

_PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content codings that are unpacked, with zlib's window bits for each. Other names (`utf-8`, `none`) mean no
packing."""

_UNKNOWN = frozenset({"br", "zstd", "compress", "x-compress"})


async def unpacked(source: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """Yields the decoded pieces of a body that is compressed although the request asked for an uncompressed body.
    coding: the Content-Encoding header.

    Raises Fault `malformed` for damaged data, and for codings that are not supported.
    """
    names = [name.strip().lower() for name in coding.split(",")]
    for name in names:
        if name in _UNKNOWN:
            raise _malformed(f"it is packed by {name}, which was not asked for")
    readers = [_Unpacker(name) for name in reversed(names) if name in _PACKED]
    async for chunk in source:
        for piece in _through(readers, chunk):
            yield piece


def _through(readers: list[_Unpacker], chunk: bytes) -> Iterator[bytes]:
    if not readers:
        yield chunk
        return
    for piece in readers[0].feed(chunk):
        yield from _through(readers[1:], piece)


class _Unpacker:
    def __init__(self, name: str) -> None:
        self._bits = _PACKED[name]
        self._reader = zlib.decompressobj(self._bits)
        self._begun = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yields the unpacked chunk in pieces of at most STEP bytes."""
        while chunk:
            if self._reader.eof:  # the chunk begins another member of a gzip file
                self._reader = zlib.decompressobj(self._bits)
            try:
                piece = self._reader.decompress(chunk, STEP)
            except zlib.error as error:
                if self._begun or self._bits != _PACKED["deflate"]:
                    raise _malformed(str(error)) from None
                self._bits = -15  # `deflate` without zlib's head, as some servers send it
                self._reader = zlib.decompressobj(self._bits)
                continue
            self._begun = True
            chunk = self._reader.unconsumed_tail or self._reader.unused_data
            if piece:
                yield piece


def _malformed(why: str) -> Fault:
    return Fault("malformed", "Local.NotHttp", f"the body is not as encoded: {why}", retry="yes")


class BodyLimit:
    """The bound on the bytes of all bodies that are being read. While the bound is exceeded, only one body is read
    further."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._held = 0
        self._alone: Held | None = None
        self._freed: anyio.Event | None = None  # made when the first body waits; most runs need no event

    async def acquire(self, body: Held, size: int) -> None:
        """Counts `size` further bytes of a body. Waits while the bound is exceeded."""
        counted = max(0, min(size, body.size + size - FREE))
        body.size += size
        body.counted += counted
        self._held += counted
        while counted and self._held > self._most and self._alone is not body:
            if self._alone is None:
                self._alone = body
            else:
                self._freed = self._freed or anyio.Event()
                await self._freed.wait()

    def release(self, body: Held) -> None:
        """Gives back the bytes of a body that has ended."""
        self._held -= body.counted
        body.counted = 0
        if self._alone is body:
            self._alone = None
        if self._freed is not None:
            self._freed.set()
            self._freed = None


class Held:
    """The bytes of one body. `size`: all bytes. `counted`: the bytes that count against the bound."""

    __slots__ = ("counted", "size")

    def __init__(self) -> None:
        self.size = 0
        self.counted = 0
