"""Reads the numbered lines of text files as UTF-8, from any encoding and from gzip. Bounds the length of a line."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from pipeline.errors import ManifestError

# No service takes a body above 64 MiB (PROTOCOLS.md §3.7). So a longer line cannot be one request.
MAX_LINE_BYTES = 64 * 1024 * 1024

_MARKS = (
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""(byte order mark, encoding): a text that begins with the mark has this encoding."""
_CHUNK = 1 << 18
_BLANK = frozenset(b" \t\r\n\v\f")
TOO_LONG = f"the line is longer than {MAX_LINE_BYTES:,} bytes"


def lines(path: str, encoding: str | None = None) -> Iterator[tuple[int, bytes | None]]:
    """Yields (number from 1, line in UTF-8) for each line, without a byte order mark. A line that is too long is None.

    Bytes that are not valid in `encoding` (None: UTF-8) become bytes that are not valid UTF-8.
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


def filled_lines(path: str, encoding: str | None) -> Iterator[tuple[int, bytes | None]]:
    """Yields the same as `lines`, without blank lines."""
    for number, line in lines(path, encoding):
        if line is None or (line and (line[0] not in _BLANK or line.strip())):
            yield number, line


def open_bytes(path: str, encoding: str | None = None) -> IO[bytes]:
    """Opens a file for reading as UTF-8. A file whose name ends in `.gz` is unpacked.

    A CR becomes a newline if the file is recoded, or if CR is the only line end at the file's beginning.
    """
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
    """Converts a text to UTF-8. Invalid bytes become a byte that is not UTF-8, so that their line can be recognised."""

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


_SAMPLE_BYTES = 1 << 20
_HIGH = re.compile(rb"[\x80-\xff]+")
_SEVERAL = 2
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[가-힣]")
_ALONE = 0.6
"""If at least this share of the runs of high bytes have one byte, the text has Western letters."""
_LETTERS = 0.7
"""If at least this share of the high bytes are lower-case Cyrillic letters, the text is Cyrillic."""

# The most frequent characters of Chinese prose and file names, simplified and traditional, and its punctuation.
_SIMPLIFIED = frozenset(
    "的一是不了人我在有他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里"
    "后图片照像猫狗，。、"
)
_TRADITIONAL = frozenset(
    "的一是不了人我在有他這中大來上個國到說們為子和你地出道也時年得就那要下以生會自著去之過家學對可裡"
    "後圖片照像貓狗，。、"
)


def refuse_other(path: str, encoding: str | None) -> None:
    """Raises ManifestError, with the likely encoding, if most non-ASCII lines of a file are not UTF-8.

    A single line that is not UTF-8 raises no error here: only this line fails later. If an `encoding` is given, nothing
    is checked.
    """
    if encoding is not None:
        return
    with open_bytes(path) as file:
        sample = file.read(_SAMPLE_BYTES)
    whole = sample if len(sample) < _SAMPLE_BYTES else sample[: sample.rfind(b"\n") + 1]
    other = [line for line in whole.splitlines() if not line.isascii()]
    broken = [line for line in other if not _is_utf8(line)]
    if len(broken) >= _SEVERAL and 2 * len(broken) > len(other):
        raise ManifestError(f"{path}: the text is not UTF-8{hint(b' '.join(broken))}")


def hint(text: bytes) -> str:
    """Returns the end of a message that names the likely encoding of `text` and the key to set."""
    name = guess(text)
    if name is None:
        return '; say what it is: [manifest] encoding = "…" in the job'
    return f'; it looks like {name}: if it is, write [manifest] encoding = "{name}" into the job'


def not_encoded(line: bytes, encoding: str | None) -> str:
    """Returns the message for a line that is not valid in the encoding of the file."""
    return f"the line is not UTF-8{hint(line)}" if encoding is None else f"the line is not {encoding}"


def guess(text: bytes) -> str | None:
    """Returns the likely encoding of a text that is not UTF-8, by Python's name, or None.

    Single-byte encodings are recognised by the distribution of the high bytes, others by the most frequent characters.
    """
    runs = _HIGH.findall(text)
    if not runs:
        return None
    high = b"".join(runs)
    if sum(len(run) == 1 for run in runs) >= _ALONE * len(runs):
        return "cp1252"
    for name, letters in (("cp1251", range(0xE0, 0x100)), ("koi8-r", range(0xC0, 0xE0))):
        if sum(byte in letters for byte in high) >= _LETTERS * len(high):
            return name
    found = {name: decoded for name in _OF_SEVERAL_BYTES if (decoded := _decoded(text, name))}
    for name, kind, least in (("cp932", _KANA, 0.2), ("euc_jp", _KANA, 0.2), ("cp949", _HANGUL, 0.9)):
        if name in found and len(kind.findall(found[name])) >= least * len(found[name]):
            return name
    scores = {name: _share(found[name], usual) for name, usual in _CHINESE if name in found}
    return max(scores, key=lambda name: scores[name]) if scores else None


_OF_SEVERAL_BYTES = ("cp932", "euc_jp", "cp949", "gb18030", "big5")
_CHINESE = (("gb18030", _SIMPLIFIED), ("big5", _TRADITIONAL))


def _decoded(text: bytes, encoding: str) -> str:
    """Returns the characters beyond ASCII. Returns an empty text if the bytes are not valid in the encoding."""
    try:
        return "".join(itertools.filterfalse(str.isascii, text.decode(encoding)))
    except UnicodeDecodeError:
        return ""


def _share(text: str, usual: frozenset[str]) -> float:
    return sum(char in usual for char in text) / len(text)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
