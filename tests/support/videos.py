"""Small videos drawn with PyAV: scenes of plain colours with a bar that moves, in the containers people have."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

Colour = tuple[int, int, int]

CODECS = {
    "mp4": "libx264",
    "mov": "libx264",
    "matroska": "libx264",
    "webm": "libvpx-vp9",
    "avi": "mpeg4",
    "mpegts": "mpeg2video",
    "flv": "flv",
    "asf": "wmv2",
    "gif": "gif",
    "apng": "apng",
}


def picture(colour: Colour, bar: float | None = None, size: tuple[int, int] = (64, 48)) -> Any:
    """RGB of one colour; `bar` from 0 to 1 says how far right a white bar stands."""
    width, height = size
    drawn = np.empty((height, width, 3), np.uint8)
    drawn[:] = colour
    if bar is not None:
        left = round(bar * (width - 8))
        drawn[:, left : left + 8] = 255
    return drawn


def moving(count: int, size: tuple[int, int] = (64, 48)) -> list[Any]:
    """`count` pictures, none like another."""
    return [picture((number * 67 % 255, 80, 160), (number * 5 % 17) / 16, size) for number in range(count)]


def scenes(*parts: tuple[Colour, int]) -> list[Any]:
    """Each colour for so many frames."""
    return [picture(colour) for colour, count in parts for _ in range(count)]


def video(
    pictures: Iterable[Any],
    *,
    fps: int = 10,
    container: str = "mp4",
    codec: str | None = None,
    stamps: Sequence[int] | None = None,
    key_every: int = 12,
    turned: int = 0,
    ratio: Fraction | None = None,
    options: dict[str, str] | None = None,
    coded: dict[str, str] | None = None,
    sound: float = 0.0,
) -> bytes:
    """A file of these pictures.

    `stamps`: when each is shown, in 1/1000 s, not evenly at `fps`. `turned`: degrees clockwise by which players turn
    the pictures. `ratio`: of a pixel. `options`, `coded`: of the container, of the coder. `sound`: seconds of a tone.
    """
    import av

    name = codec or CODECS[container]
    path = Path(tempfile.mkdtemp()) / "drawn"  # with a name: FFmpeg opens it again to move its index to the front
    with av.open(str(path), "w", format=container, options=options or {}) as output:
        stream: Any = None
        tone = output.add_stream("aac", rate=16_000) if sound else None
        for number, drawn in enumerate(pictures):
            if stream is None:
                stream = output.add_stream(name, rate=fps)
                stream.height, stream.width = drawn.shape[:2]
                stream.pix_fmt = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}.get(name, "yuv420p")
                stream.gop_size = key_every
                stream.codec_context.options = {**({"crf": "12"} if name.startswith("lib") else {}), **(coded or {})}
                if ratio is not None:
                    stream.sample_aspect_ratio = ratio
                if stamps is not None:
                    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            frame = av.VideoFrame.from_ndarray(drawn, format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            output.mux(stream.encode(frame))
        if stream is not None:
            output.mux(stream.encode())
        if tone is not None:
            _mux_tone(output, tone, sound)
    body = path.read_bytes()
    shutil.rmtree(path.parent)
    return _turned(body, turned) if turned else body


def _turned(body: bytes, degrees: int) -> bytes:
    """The matrix of the first track header (version 0), as phones write it (ISO/IEC 14496-12, 8.3.2)."""
    one = 1 << 16
    numbers = {90: (0, one, 0, -one, 0), 180: (-one, 0, 0, 0, -one), 270: (0, -one, 0, one, 0)}[degrees]
    place = body.index(b"tkhd") + 4 + 40
    return body[:place] + struct.pack(">5i", *numbers) + body[place + 20 :]


def song(seconds: float = 1.0, cover: bool = False) -> bytes:
    """A sound alone, in an MP4; with `cover`, a picture of the album beside it."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        tone = output.add_stream("aac", rate=16_000)
        art: Any = output.add_stream("mjpeg", rate=1) if cover else None
        if art is not None:
            art.width, art.height, art.pix_fmt = 64, 48, "yuvj420p"
            output.mux(art.encode(av.VideoFrame.from_ndarray(picture((9, 9, 9)), format="rgb24")))
            output.mux(art.encode())
        _mux_tone(output, tone, seconds)
    return file.getvalue()


def _mux_tone(output: Any, stream: Any, seconds: float) -> None:
    import av

    samples = np.sin(np.arange(round(16_000 * seconds)) / 8).astype(np.float32)[None]
    for start in range(0, samples.shape[1], 1024):
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start : start + 1024]), "fltp", "mono")
        frame.sample_rate, frame.pts = 16_000, start
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
