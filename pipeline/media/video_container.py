"""Checks a video that is sent as a file: its container and its size. Nothing of it is decoded."""

from __future__ import annotations

from pipeline.errors import refusal
from pipeline.media.files import MAX_FILE_BYTES
from pipeline.media.fit import encoded_size
from pipeline.media.formats import described, sniff
from pipeline.types import MediaLimits

# Container → (file ending, MIME type). MP4 and MOV are one format (ISO/IEC 14496-12), told apart by the brand.
VIDEO_FORMATS: dict[str, tuple[str, str]] = {
    "MP4": (".mp4", "video/mp4"),
    "MOV": (".mov", "video/quicktime"),
    "MKV": (".mkv", "video/x-matroska"),
    "WEBM": (".webm", "video/webm"),
    "AVI": (".avi", "video/x-msvideo"),
    "FLV": (".flv", "video/x-flv"),
    "WMV": (".wmv", "video/x-ms-wmv"),
    "MPEG": (".mpg", "video/mpeg"),
}
_ASF = bytes.fromhex("3026b2758e66cf11")


def video_format(body: bytes) -> str | None:
    """The container's name, a key of VIDEO_FORMATS, by the first bytes; None for anything else."""
    if body[4:8] == b"ftyp" and sniff(body) is None:
        return "MOV" if body[8:12] == b"qt  " else "MP4"
    if body[4:8] in (b"moov", b"mdat", b"wide") and body[:1] == b"\x00":
        return "MOV"
    if body.startswith(b"\x1aE\xdf\xa3"):
        return "WEBM" if b"webm" in body[:64] else "MKV"
    if body[:4] == b"RIFF" and body[8:12] == b"AVI ":
        return "AVI"
    if body.startswith(b"FLV\x01"):
        return "FLV"
    if body.startswith(_ASF):
        return "WMV"
    return "MPEG" if body.startswith((b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")) else None


def check_video(body: bytes, name: str, limits: MediaLimits) -> str:
    """The container of a video that keeps to `limits`: a key of VIDEO_FORMATS.

    Raises Fault `Local.NotAVideo`, `Local.Format`, `Local.TooLarge`.
    """
    form = video_format(body)
    if form is None:
        found = sniff(body)
        raise refusal("NotAVideo", f"{name}: no video file, but {f'a {found} file' if found else described(body)}")
    if limits.formats is not None and form not in limits.formats:
        raise refusal("Format", f"{name}: {form}; the model takes {', '.join(limits.formats)}")
    check_video_size(len(body), name, limits)
    return form


def check_video_size(size: int, name: str, limits: MediaLimits) -> None:
    """Raises Fault `Local.TooLarge` for a file of `size` bytes that cannot be sent; says so before it is read."""
    advice = "shorten it, or set media.frames"
    most = min(limits.max_bytes or MAX_FILE_BYTES, MAX_FILE_BYTES)
    if size > most:
        raise refusal("TooLarge", f"{name}: {size:,} bytes; at most {most:,} are sent; {advice}")
    encoded, bound = encoded_size(size), limits.max_encoded_bytes
    if bound is not None and encoded > bound:
        raise refusal("TooLarge", f"{name}: {encoded:,} bytes as base64; the model takes at most {bound:,}; {advice}")
