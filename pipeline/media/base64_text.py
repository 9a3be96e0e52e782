"""Tells base64 of a picture, written without `data:` before it, from a path."""

from __future__ import annotations

import binascii
import hashlib
import re

from pipeline.media.formats import described, sniff

LEAST = 80
"""Characters of the shortest text that is looked at: the smallest PNG there is has 90."""

LONGEST_PATH, LONGEST_NAME = 4096, 255
"""Characters of the longest path, and of the longest name in it (Linux: PATH_MAX, NAME_MAX)."""

_HEAD = 64
_ALPHABET = re.compile(r"[A-Za-z0-9+/_=\-\s]+")
_CERTAIN = frozenset(("JPEG", "PNG", "GIF", "WEBP", "TIFF", "JPEG2000", "AVIF", "HEIF", "ICNS", "WAV", "FLAC"))
"""Formats whose first bytes are long enough that no path begins like them by chance."""


def of_media(text: str) -> bool:
    """Whether a text is base64 of a picture, a sound or a document, by its first bytes. Nothing else is decoded."""
    if len(text) < LEAST or not _ALPHABET.fullmatch(head := text.lstrip()[:_HEAD]):
        return False
    try:
        first = binascii.a2b_base64(_usual(head)[: _HEAD // 2])
    except (binascii.Error, ValueError):
        return False
    certain = sniff(first) in _CERTAIN or described(first) == "a PDF document"
    return certain and _ALPHABET.fullmatch(text) is not None


def too_long_for_a_path(text: str) -> bool:
    """Whether a text can only be base64 or hexadecimal digits of something, and no path."""
    if len(text) <= LONGEST_NAME or not _ALPHABET.fullmatch(text):
        return False
    return len(text) > LONGEST_PATH or max(map(len, text.split("/"))) > LONGEST_NAME


def decoded(text: str) -> bytes | None:
    """The bytes, None where it is no base64 to its end."""
    import pybase64

    plain = _usual("".join(text.split())).rstrip("=")
    try:
        found: bytes = pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found


def by_hash(text: str) -> str:
    """How such a text is stored and shown."""
    return f"base64;sha256={hashlib.sha256(text.encode(errors='replace')).hexdigest()}"


def _usual(text: str) -> str:
    return text.replace("-", "+").replace("_", "/")
