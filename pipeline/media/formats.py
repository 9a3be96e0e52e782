"""Recognises bytes: the format of a file by its first bytes, whether an image is complete, base64 without a header.

To decode a 12-megapixel JPEG costs 90 ms and more; to find its end marker costs microseconds. This module does not see
damage in the middle of a file: the service reports that damage.
"""

from __future__ import annotations

import binascii
import hashlib
import re

# Pillow's name of each picture format → (file ending, MIME type), as in the services' tables (PROTOCOLS.md §3.7).
IMAGE_FORMATS: dict[str, tuple[str, str]] = {
    "JPEG": (".jpg", "image/jpeg"),
    "PNG": (".png", "image/png"),
    "WEBP": (".webp", "image/webp"),
    "GIF": (".gif", "image/gif"),
    "BMP": (".bmp", "image/bmp"),
    "DIB": (".dib", "image/bmp"),
    "TIFF": (".tif", "image/tiff"),
    "JPEG2000": (".jp2", "image/jp2"),
    "ICO": (".ico", "image/x-icon"),
    "ICNS": (".icns", "image/icns"),
    "SGI": (".sgi", "image/sgi"),
    "AVIF": (".avif", "image/avif"),
    "PPM": (".ppm", "image/x-portable-pixmap"),
    "HEIF": (".heic", "image/heic"),
}
AUDIO_FORMATS: dict[str, tuple[str, str]] = {
    "WAV": (".wav", "audio/wav"),
    "MP3": (".mp3", "audio/mpeg"),
    "FLAC": (".flac", "audio/flac"),
}

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"icns", "ICNS"),
    (b"\x01\xda\x00", "SGI"),
    (b"\x01\xda\x01", "SGI"),
    (b"fLaC", "FLAC"),
    (b"ID3", "MP3"),
)

# Files that people name .jpg by mistake. Used only in messages.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop file"),
    (b"OggS", "an Ogg sound"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"PAR1", "a Parquet file"),
)


def sniff(body: bytes) -> str | None:
    """Returns the format's name, a key of IMAGE_FORMATS or AUDIO_FORMATS; None for any other bytes."""
    for start, name in _STARTS:
        if body.startswith(start):
            return name
    if body[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"WAVE": "WAV"}.get(body[8:12])
    if body[:2] == b"BM" and len(body) > 18:
        return "BMP"
    if body[4:8] == b"ftyp" and (form := _of_brands(body)) is not None:
        return form
    if body[:1] == b"P" and body[1:2] in b"123456" and body[2:3].isspace():
        return "PPM"
    if body[:4] in (b"\x28\x00\x00\x00", b"\x0c\x00\x00\x00"):
        return "DIB"
    if body[:1] == b"\xff" and len(body) > 3 and _is_mpeg_audio(body):
        return "MP3"
    return None


def described(body: bytes) -> str:
    """Returns words for a message that say what a file seems to be, if it is not a picture."""
    for start, words in _OTHERS:
        if body.startswith(start):
            return words
    if body[4:8] == b"ftyp":
        return "an MP4 or QuickTime file"
    body = body.removeprefix(b"\xef\xbb\xbf")
    head = body[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page"
    if head.startswith((b"<svg", b"<?xml")):
        return "an SVG or XML text"
    try:
        sample = body[:512].decode("utf-8", errors="ignore" if len(body) > 512 else "strict")
    except UnicodeDecodeError:
        return "of no known format"
    is_text = sample and all(char.isprintable() or char in "\r\n\t\f" for char in sample)
    return "text" if is_text else "of no known format"


def _of_brands(body: bytes) -> str | None:
    """Returns AVIF or HEIF by the brands of a file (ISO/IEC 23008-12 §10, AV1 image file format §9), else None.

    The brands `mif1` and `msf1` stand for both formats; then the compatible brands decide.
    """
    main, end = body[8:12], min(int.from_bytes(body[:4], "big"), 256)
    brands = {main, *(body[place : place + 4] for place in range(16, end - 3, 4))}
    if main in (b"avif", b"avis") or (main in (b"mif1", b"msf1") and brands & {b"avif", b"avis"}):
        return "AVIF"
    return "HEIF" if main[:3] in (b"hei", b"hev") or main in (b"mif1", b"msf1") else None


def _is_mpeg_audio(body: bytes) -> bool:
    """Tells whether bytes begin with the header of an MPEG audio frame, layer III.

    The sync bits must be right; the version, the bit rate and the sampling rate must exist.
    """
    return (
        body[1] & 0xE6 == 0xE2  # 11 sync bits, layer III
        and body[1] & 0x18 != 0x08
        and body[2] & 0xF0 not in (0x00, 0xF0)
        and body[2] & 0x0C != 0x0C
    )


def is_complete_file(body: bytes, form: str) -> bool | None:
    """Tells whether the end of a picture is there; None if the format has no end marker: only decoding can tell.

    A WEBP states its length; the others have an end marker. Bytes behind the end are allowed for JPEG, PNG and WEBP,
    because phones append bytes; for GIF and raw JPEG2000 only zeros are allowed.
    """
    if form == "JPEG":
        return _jpeg(body)
    if form == "PNG":
        return body.rfind(b"\x00\x00\x00\x00IEND\xae\x42\x60\x82") > 0
    if form == "GIF":
        return body.rstrip(b"\x00").endswith(b";")
    if form == "WEBP":
        return len(body) >= 8 + int.from_bytes(body[4:8], "little")
    if form == "JPEG2000" and body.startswith(b"\xff\x4f"):
        return body.rstrip(b"\x00").endswith(b"\xff\xd9")
    return None


def is_cut(body: bytes) -> bool:
    """Tells whether the end of a picture is missing; False for formats without an end marker, and for other files."""
    form = sniff(body)
    return form is not None and is_complete_file(body, form) is False


def _jpeg(body: bytes) -> bool:
    """Tells whether a JPEG has an end-of-image marker behind the start of its scan.

    The end-of-image marker of an EXIF thumbnail stands before the scan.
    """
    place = 2
    while place + 4 <= len(body):
        if body[place] != 0xFF:
            return False
        marker = body[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
        elif marker == 0xDA:
            return body.rfind(b"\xff\xd9") > place
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            place += 2
        else:
            place += 2 + int.from_bytes(body[place + 2 : place + 4], "big")
    return False


LEAST = 80
"""Characters of the shortest text that is examined. The base64 of the smallest possible PNG has 90 characters."""

LONGEST_PATH, LONGEST_NAME = 4096, 255
"""Characters of the longest path, and of the longest name in a path (Linux: PATH_MAX, NAME_MAX)."""

_HEAD = 64
_ALPHABET = re.compile(r"[A-Za-z0-9+/_=\-\s]+")
_CERTAIN = frozenset(("JPEG", "PNG", "GIF", "WEBP", "TIFF", "JPEG2000", "AVIF", "HEIF", "ICNS", "WAV", "FLAC"))
"""Formats whose first bytes are long enough that no path begins like them by chance."""


def of_media(text: str) -> bool:
    """Tells whether a text is base64 of a picture, a sound or a document. Decodes only the first bytes."""
    if len(text) < LEAST or not _ALPHABET.fullmatch(head := text.lstrip()[:_HEAD]):
        return False
    try:
        first = binascii.a2b_base64(_usual(head)[: _HEAD // 2])
    except (binascii.Error, ValueError):
        return False
    certain = sniff(first) in _CERTAIN or described(first) == "a PDF document"
    return certain and _ALPHABET.fullmatch(text) is not None


def too_long_for_a_path(text: str) -> bool:
    """Tells whether a text is too long for a path, and has only the characters of base64 or hexadecimal digits."""
    if len(text) <= LONGEST_NAME or not _ALPHABET.fullmatch(text):
        return False
    return len(text) > LONGEST_PATH or max(map(len, text.split("/"))) > LONGEST_NAME


def decoded(text: str) -> bytes | None:
    """Returns the decoded bytes; None if the text is not base64 up to its end."""
    import pybase64

    plain = _usual("".join(text.split())).rstrip("=")
    try:
        found: bytes = pybase64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return found


def by_hash(text: str) -> str:
    """Returns the form in which a base64 text is stored and shown: its hash."""
    return f"base64;sha256={hashlib.sha256(text.encode(errors='replace')).hexdigest()}"


def _usual(text: str) -> str:
    return text.replace("-", "+").replace("_", "/")
