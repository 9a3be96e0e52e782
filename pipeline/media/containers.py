"""Checks the container, size and length of audio and video files. Refuses a file that does not fit; changes no file."""

from __future__ import annotations

import io

import msgspec

from pipeline.errors import refusal
from pipeline.machine import pass_on
from pipeline.media.files import MAX_FILE_BYTES
from pipeline.media.formats import AUDIO_FORMATS, described, sniff
from pipeline.media.limits import encoded_size
from pipeline.types import MediaLimits


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """Container name (WAV, MP3, FLAC) and length of a sound. `seconds` is None if the file does not state it."""

    format: str
    seconds: float | None


def check_audio(body: bytes, name: str, limits: MediaLimits) -> Audio:
    """Returns the facts of a sound that keeps to `limits`.

    `max_seconds` None allows any length (a model that is told to cut takes longer sounds).
    Raises Fault `Local.EmptyFile`, `Local.NotASound`, `Local.TruncatedSound`, `Local.Format`, `Local.TooLarge`,
    `Local.TooLong`.
    """
    if not body:
        raise refusal("EmptyFile", f"{name}: the file is empty")
    audio = probe_audio(body, name)
    if limits.formats is not None and audio.format not in limits.formats:
        raise refusal("Format", f"{name}: {audio.format}; the model takes {', '.join(limits.formats)}")
    if limits.max_bytes is not None and len(body) > limits.max_bytes:
        raise refusal("TooLarge", f"{name}: {len(body):,} bytes; the model takes at most {limits.max_bytes:,}")
    encoded = encoded_size(len(body))
    if limits.max_encoded_bytes is not None and encoded > limits.max_encoded_bytes:
        raise refusal(
            "TooLarge", f"{name}: {encoded:,} bytes as base64; the model takes at most {limits.max_encoded_bytes:,}"
        )
    if limits.max_seconds is not None and audio.seconds is not None and audio.seconds > limits.max_seconds:
        raise refusal("TooLong", f"{name}: {audio.seconds:.2f} s; the model takes at most {limits.max_seconds:g} s")
    return audio


def probe_audio(body: bytes, name: str) -> Audio:
    """Returns the container and the length from the headers. Raises Fault `Local.NotASound`, `Local.TruncatedSound`.

    Only a WAV states how many bytes it must have. A cut MP3 or FLAC is taken as a shorter sound.
    """
    form = sniff(body)
    if form not in AUDIO_FORMATS:
        what = f"a {form} picture" if form else described(body)
        raise refusal("NotASound", f"{name}: not a WAV, MP3 or FLAC sound but {what}")
    if form == "WAV":
        _check_wave(body, name)
    from tinytag import TinyTag

    try:
        # The file name tells tinytag the format: older versions do not recognise an MP3 without tags by its bytes.
        seconds = TinyTag.get(f"sound.{form.lower()}", file_obj=io.BytesIO(body), tags=False).duration
    except Exception as error:  # a parser may raise nearly anything on hostile bytes
        pass_on(error)
        raise refusal("NotASound", f"{name}: begins like {form}, but its header cannot be read ({error})") from None
    if not seconds and (form != "FLAC" or not _has_stream_info(body)):
        raise refusal("NotASound", f"{name}: begins like {form}, but holds no sound")
    return Audio(format=form, seconds=seconds or None)


def _check_wave(body: bytes, name: str) -> None:
    """Raises Fault unless the `data` chunk of a WAV is there and whole.

    Recorders that stream write 0 or the largest number as the size of this chunk. Such sizes are not checked.
    """
    place = 12
    while place + 8 <= len(body):
        size = int.from_bytes(body[place + 4 : place + 8], "little")
        if body[place : place + 4] == b"data":
            there = len(body) - place - 8
            if there < size < 0x7FFFF000:
                raise refusal(
                    "TruncatedSound", f"{name}: the WAV holds {there:,} of the {size:,} bytes of sound it states"
                )
            return
        place += 8 + size + size % 2
    raise refusal("NotASound", f"{name}: begins like WAV, but holds no sound data")


def _has_stream_info(body: bytes) -> bool:
    """Tells whether the first block of a FLAC is STREAMINFO with 34 bytes (RFC 9639, 8.2).

    Every FLAC has this block, also a FLAC that does not state its length.
    """
    return len(body) >= 42 and body[4] & 0x7F == 0 and int.from_bytes(body[5:8], "big") == 34


# Container → (file ending, MIME type). MP4 and MOV are one format (ISO/IEC 14496-12); only the brand differs.
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
    """Returns the container's name, a key of VIDEO_FORMATS, by the first bytes; None for any other file."""
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
    """Returns the container of a video that keeps to `limits`: a key of VIDEO_FORMATS.

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
    """Raises Fault `Local.TooLarge` if a file of `size` bytes is too large to be sent. The file need not be read."""
    advice = "shorten it, or set media.frames"
    most = min(limits.max_bytes or MAX_FILE_BYTES, MAX_FILE_BYTES)
    if size > most:
        raise refusal("TooLarge", f"{name}: {size:,} bytes; at most {most:,} are sent; {advice}")
    encoded, bound = encoded_size(size), limits.max_encoded_bytes
    if bound is not None and encoded > bound:
        raise refusal("TooLarge", f"{name}: {encoded:,} bytes as base64; the model takes at most {bound:,}; {advice}")
