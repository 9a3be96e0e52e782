"""Reads the JSON of a service, also with blanks before the JSON or small errors in it. Nothing is guessed.

The strict pass comes first: msgspec takes 2 µs for an answer of 1 KB, the lenient pass about 30 µs. The lenient pass
also reads broken UTF-8 and half surrogate pairs (each becomes U+FFFD), control characters inside strings, numbers that
JSON does not have (`NaN`, `Infinity`, out of range: null), and more text behind the first value.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

strict = msgspec.json.Decoder().decode
"""Returns one JSON value from bytes. Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError otherwise."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile("[ \t\r\n\ufeff]*")
_STUMP = re.compile(r"[-+.\w\\]{0,12}")
_MOST_DIGITS = 400


class Parsed(msgspec.Struct, frozen=True):
    """The JSON values at the beginning of a text, and the `rest` of the text.

    `cut`: the rest is JSON too, but stops in the middle.
    """

    values: tuple[Any, ...]
    rest: str
    cut: bool


def lenient(content: bytes) -> Parsed:
    """Returns the readable values of a text that `strict` refuses. Never raises."""
    text = _decoded(content).rstrip()
    values: list[Any] = []
    at = _BLANKS.match(text, 0).end()  # type: ignore[union-attr]  # the pattern matches anything
    while at < len(text):
        try:
            value, end = _LENIENT.raw_decode(text, at)
            values.append(_mended(value))
        except json.JSONDecodeError as error:
            return Parsed(tuple(values), text[at:], _stops_in_the_middle(text, at, error))
        except (ValueError, RecursionError):
            return Parsed(tuple(values), text[at:], False)
        at = _BLANKS.match(text, end).end()  # type: ignore[union-attr]
    return Parsed(tuple(values), "", False)


class Cut(ValueError):
    """Raised for a text that is JSON which stops in the middle, or for an empty text."""


def decode(content: bytes) -> Any:
    """Returns one JSON value, read strictly, else leniently.

    Raises Cut. Raises ValueError for a text that is not JSON or holds more than one value.
    """
    try:
        return strict(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        parsed = lenient(content)
    if not parsed.values and (parsed.cut or not parsed.rest):
        raise Cut("the JSON stops in the middle")
    if len(parsed.values) != 1 or parsed.rest:
        raise ValueError("no JSON value")
    return parsed.values[0]


def _decoded(content: bytes) -> str:
    """Returns the bytes as text. Surrogates written as UTF-8 are kept: `_mended` joins two halves to one character."""
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return content.decode("utf-8", "replace")


def _mended(value: Any) -> Any:
    """Returns the value with half surrogate pairs replaced in all its strings."""
    if isinstance(value, str):
        return _whole_characters(value) if _SURROGATE.search(value) else value
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return [_mended(item) for item in value] if isinstance(value, list) else value


def _whole_characters(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _stops_in_the_middle(text: str, at: int, error: json.JSONDecodeError) -> bool:
    """Tells whether the text is JSON that stops too early: inside a string, a word or a number, or before the next of
    these."""
    if text[at] not in "{[":
        return False
    return error.msg.startswith("Unterminated string") or _STUMP.fullmatch(text, error.pos) is not None


def _number(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _whole_number(text: str) -> int | None:
    return int(text) if len(text) <= _MOST_DIGITS else None


def _no_number(_name: str) -> None:
    return None


_LENIENT = json.JSONDecoder(strict=False, parse_float=_number, parse_int=_whole_number, parse_constant=_no_number)


_BLANK = b" \t\r\n\x0b\x0c\x00"
_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"[\r\n]")
_STATUS = b":HTTP_STATUS/"
_MOST_HELD = 64


class Lead:
    """Drops all bytes before the first byte of the content, however many. Holds at most 64 of these bytes.

    Proxies send blank lines or comments (`: keep-alive`) while the service works. DashScope's `:HTTP_STATUS/NNN` is a
    comment too, but belongs to the event that follows: the content begins with this comment.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """Returns the content from its first byte on, or b"" if no content has come yet."""
        rest = self._held + chunk if self._held else chunk
        self._held = b""
        while rest:
            first = rest[:1]
            if first in _BLANK:
                rest = rest.lstrip(_BLANK)
            elif first == b":":
                if rest.startswith(_STATUS):
                    return rest
                end = _LINE_END.search(rest)
                if end is None:
                    self._held = rest[:_MOST_HELD]
                    return b""
                rest = rest[end.end() :]
            elif rest.startswith(_MARK):
                rest = rest[3:]
            elif _MARK.startswith(rest):
                self._held = rest
                return b""
            else:
                return rest
        return b""
