"""Opens a video with PyAV: only video containers. Finds the first stream of moving pictures, and reads its headers."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

from pipeline.errors import Fault, MissingExtra, refusal
from pipeline.machine import pass_on
from pipeline.media.formats import IMAGE_FORMATS, described, is_complete_file, sniff
from pipeline.media.video_boxes import has_index, quarter_turns

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

Source = bytes | str | BinaryIO

# The largest luma picture that H.265 allows (ITU-T H.265, table A.8, level 6.2), 8192×4352. One decoded picture of this
# size is 54 MB, and a decoder may hold up to seventeen decoded pictures.
MAX_PIXELS = 35_651_584

# FFmpeg's demuxers by name. Playlists (hls, concat, dash) are not listed: a playlist may name any file or address.
_CONTAINERS = "mov,mp4,matroska,webm,avi,flv,asf,mpegts,mpeg,ogg,gif,apng"

# Codecs of a single picture. Beside a stream of sound, a stream of such a codec is the cover of a song.
_STILLS = ("mjpeg", "png", "bmp", "gif", "webp", "tiff")
_ATTACHED = 0x0400  # AV_DISPOSITION_ATTACHED_PIC, libavformat/avformat.h

_HINT = "convert it, for instance: ffmpeg -i IN -c:v libx264 OUT.mp4"


class Video(msgspec.Struct, frozen=True, kw_only=True):
    """An open video.

    `width`, `height`: in pixels as shown, upright and with square pixels. `turns`: quarter turns clockwise that turn a
    decoded picture upright. `seconds`, `frames`, `fps`: from the headers; None if the headers do not state them.
    """

    name: str
    container: InputContainer
    stream: VideoStream
    width: int
    height: int
    turns: int
    seconds: float | None
    frames: int | None
    fps: float | None


def require_video() -> None:
    """Raises MissingExtra unless PyAV is installed. Imports nothing."""
    from importlib.util import find_spec

    if find_spec("av") is None:
        raise MissingExtra(
            "videos are read with PyAV (av), which is not installed here; "
            'install the extra: pip install "multimodal-batch[video]"'
        )


@contextmanager
def opened_video(source: Source, name: str | None = None) -> Iterator[Video]:
    """Opens a video for the time of a `with`. Decodes no frame.

    `source`: the bytes, a path, or a binary file that can seek; the binary file stays open. `name`: the name of the
    video in messages.
    Raises MissingExtra, and Fault `Local.EmptyFile`, `Local.MissingFile`, `Local.NoPermission`, `Local.NotAFile`,
    `Local.UnreadableFile`, `Local.NotAVideo`, `Local.TruncatedVideo`, `Local.BrokenVideo`, `Local.NoVideoStream`,
    `Local.TooManyPixels`, `Local.VideoCodec`.
    """
    require_video()
    if isinstance(source, bytes):
        with _video(io.BytesIO(source), name or "the video") as video:
            yield video
    elif isinstance(source, str):
        with _file(source, name or Path(source).name) as file, _video(file, name or Path(source).name) as video:
            yield video
    else:
        with _video(source, name or "the video") as video:
            yield video


def _file(path: str, name: str) -> BinaryIO:
    """Opens a plain file. Waits for no pipe. Raises Fault."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise refusal("NotAFile", f"{name}: not a plain file (a folder, pipe, socket or device)")
        return os.fdopen(descriptor, "rb")
    except FileNotFoundError:
        raise refusal("MissingFile", f"{name}: there is no such file") from None
    except PermissionError:
        raise refusal("NoPermission", f"{name}: no permission to read this file") from None
    except OSError as error:
        pass_on(error)
        raise refusal("UnreadableFile", f"{name}: cannot be read: {error.strerror or error}") from None


def _lenient(version: str) -> dict[str, Any]:
    """Returns the option that ignores metadata that is not text. PyAV 19 and newer do not have this option."""
    return {"metadata_errors": "ignore"} if int(version.partition(".")[0]) < 19 else {}


@contextmanager
def _video(file: BinaryIO, name: str) -> Iterator[Video]:
    import av

    head = _head(file, name)
    _check_pixels(*_drawn_size(head), name)
    if _is_cut(file, head):
        raise refusal("TruncatedVideo", f"{name}: the file has no end: the copy was cut off; get the whole file")
    try:
        container = av.open(
            file,
            container_options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "none"},
            **_lenient(av.__version__),
        )
    except (av.FFmpegError, ValueError):
        raise _unopened(file, head, name) from None
    except OSError as error:
        pass_on(error)
        raise refusal("UnreadableFile", f"{name}: cannot be read: {error.strerror or error}") from None
    with container:
        yield _facts(cast("InputContainer", container), file, name)


def _head(file: BinaryIO, name: str) -> bytes:
    try:
        file.seek(0)
        head = file.read(1 << 12)
        file.seek(0)
    except OSError as error:
        pass_on(error)
        raise refusal("UnreadableFile", f"{name}: cannot be read: {error.strerror or error}") from None
    if not head:
        raise refusal("EmptyFile", f"{name}: the file is empty")
    return head


def _unopened(file: BinaryIO, head: bytes, name: str) -> Fault:
    """Returns the fault for a file that did not open: it is not a video, is cut off before its index, or is broken."""
    if head[4:8] == b"ftyp" and not has_index(file):
        message = "the file ends before its index (moov): the copy or the recording was cut off; get the whole file"
        return refusal("TruncatedVideo", f"{name}: {message}")
    if looks_like_video(head):
        return refusal("BrokenVideo", f"{name}: begins like a video, but its headers are damaged or cut off; {_HINT}")
    form = sniff(head)
    what = f"a {form} {'picture' if form in IMAGE_FORMATS else 'sound'}" if form else described(head)
    return refusal("NotAVideo", f"{name}: not a video but {what}")


def _drawn_size(head: bytes) -> tuple[int, int]:
    """Returns (width, height) of a GIF or PNG; (0, 0) for another file.

    The size must be checked before FFmpeg opens the file: FFmpeg fills the whole canvas to find the size.
    """
    form = sniff(head)
    if form == "GIF":
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    return (int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")) if form == "PNG" else (0, 0)


def _check_pixels(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise refusal(
            "TooManyPixels", f"{name}: {width}×{height}; frames of over {MAX_PIXELS:,} pixels are not decoded"
        )


def _is_cut(file: BinaryIO, head: bytes) -> bool:
    """Tells whether the bytes show that the end is missing (AVI, GIF, PNG). Other containers show it only by times."""
    length = file.seek(0, 2)
    file.seek(max(0, length - 64))
    tail = file.read(64)
    file.seek(0)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return length < 8 + int.from_bytes(head[4:8], "little")  # the size is 0 if the recorder never wrote it
    form = sniff(head)
    return form in ("GIF", "PNG") and is_complete_file(tail, form) is False


def looks_like_video(head: bytes) -> bool:
    """Tells whether bytes begin like a container that this module opens."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") or head.startswith((b"\x1aE\xdf\xa3", b"FLV", b"GIF8")):
        return True
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    return head.startswith((b"\x30\x26\xb2\x75", b"\x00\x00\x01\xba", b"OggS")) or head[:1] + head[188:189] == b"GG"


def _facts(container: InputContainer, file: BinaryIO, name: str) -> Video:
    stream = _moving(container, name)
    context = stream.codec_context
    if context is None:
        raise refusal("VideoCodec", f"{name}: its video codec is not known here; {_HINT}")
    width, height = context.width, context.height
    if width < 1 or height < 1:
        raise refusal("BrokenVideo", f"{name}: the headers do not say how large its frames are; {_HINT}")
    _check_pixels(width, height, name)
    context.options = {"max_pixels": str(MAX_PIXELS)}  # a stream may change its size later
    turns = quarter_turns(file) if container.format.name.startswith("mov") else 0
    wide, tall = shown_size(width, height, stream.sample_aspect_ratio, turns)
    rate = stream.average_rate or stream.guessed_rate
    return Video(
        name=name,
        container=container,
        stream=stream,
        width=wide,
        height=tall,
        turns=turns,
        seconds=_seconds(container, stream),
        frames=stream.frames or None,
        fps=float(rate) if rate else None,
    )


@contextmanager
def stopping_at_damage() -> Iterator[None]:
    """Ends the reading of packets at the place where FFmpeg cannot go on. The packets before that place count.

    PyAV itself raises IndexError at the end of a file in which a stream began late.
    """
    import av

    with suppress(av.FFmpegError, IndexError):
        yield


def shown_size(width: int, height: int, ratio: Any, turns: int) -> tuple[int, int]:
    """Returns (width, height) of a decoded picture as a player shows it. `ratio`: a pixel's width ÷ height, or None."""
    if ratio and 0.1 < ratio < 10:
        width = max(1, round(width * ratio))
    return (height, width) if turns % 2 else (width, height)


def _moving(container: InputContainer, name: str) -> VideoStream:
    found = [stream for stream in container.streams.video if not _is_cover(container, stream)]
    if found:
        return found[0]
    if container.streams.audio:
        raise refusal("NoVideoStream", f"{name}: holds sound and no moving pictures; `audio` is the field for sounds")
    raise refusal("NoVideoStream", f"{name}: the file holds no stream of pictures")


def _is_cover(container: InputContainer, stream: VideoStream) -> bool:
    if stream.disposition.value & _ATTACHED:
        return True
    codec = stream.codec_context.name if stream.codec_context is not None else ""
    return codec in _STILLS and stream.frames == 1 and bool(container.streams.audio)


def _seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration and container.duration > 0 else None
