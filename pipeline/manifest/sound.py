"""Checks a sound: its container and its length in seconds; a sound that does not fit is refused, never changed."""

from __future__ import annotations

import io

import msgspec

from pipeline.errors import refusal
from pipeline.manifest.fit import encoded_size
from pipeline.manifest.sniff import SOUND_FORMATS, described, sniff
from pipeline.types import MediaLimits


class Sound(msgspec.Struct, frozen=True, kw_only=True):
    """Container name (WAV, MP3, FLAC) and length; seconds is None where the file does not say."""

    format: str
    seconds: float | None


def check_sound(body: bytes, name: str, limits: MediaLimits) -> Sound:
    """The facts of a sound that keeps to `limits`.

    Raises Fault `Local.EmptyFile`, `Local.NotASound`, `Local.TruncatedSound`, `Local.Format`, `Local.TooLarge`,
    `Local.TooLong`. `max_seconds` None: any length (a model told to cut takes longer ones).
    """
    if not body:
        raise refusal("EmptyFile", f"{name}: the file is empty")
    sound = probe_sound(body, name)
    if limits.formats is not None and sound.format not in limits.formats:
        raise refusal("Format", f"{name}: {sound.format}; the model takes {', '.join(limits.formats)}")
    if limits.max_bytes is not None and len(body) > limits.max_bytes:
        raise refusal("TooLarge", f"{name}: {len(body):,} bytes; the model takes at most {limits.max_bytes:,}")
    encoded = encoded_size(len(body))
    if limits.max_encoded_bytes is not None and encoded > limits.max_encoded_bytes:
        raise refusal(
            "TooLarge", f"{name}: {encoded:,} bytes as base64; the model takes at most {limits.max_encoded_bytes:,}"
        )
    if limits.max_seconds is not None and sound.seconds is not None and sound.seconds > limits.max_seconds:
        raise refusal("TooLong", f"{name}: {sound.seconds:.2f} s; the model takes at most {limits.max_seconds:g} s")
    return sound


def probe_sound(body: bytes, name: str) -> Sound:
    """Container and length from the headers. Raises Fault `Local.NotASound`, `Local.TruncatedSound`."""
    form = sniff(body)
    if form not in SOUND_FORMATS:
        what = f"a {form} picture" if form else described(body)
        raise refusal("NotASound", f"{name}: not a WAV, MP3 or FLAC sound but {what}")
    from tinytag import TinyTag

    try:
        seconds = TinyTag.get(filename=None, file_obj=io.BytesIO(body), tags=False).duration
    except MemoryError:
        raise
    except Exception as error:  # a parser may raise nearly anything on hostile bytes
        raise refusal("NotASound", f"{name}: begins like {form}, but its header cannot be read ({error})") from None
    return Sound(format=form, seconds=seconds if seconds and seconds > 0 else None)
