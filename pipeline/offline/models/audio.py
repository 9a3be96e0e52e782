"""Decodes wav, flac and mp3, and measures sounds: length, loudness, pitch, log-mel statistics."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np

_FLOOR_DB = -100.0
_SILENT_DB = -50.0  # relative to full scale; a quiet room is recorded at about −60
_ONSET_DB, _ONSET_GAP, _ONSET_BACK = 9.0, 15, 10  # a rise of 9 dB over the last 100 ms; onsets at least 150 ms apart
_LOW_HERTZ = 150.0  # below the lowest note of most voices
_TURN = 1.25  # a change by a quarter (about four semitones) counts as a rising or falling pitch


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of a sound.

    `level` and `peak`: dB relative to full scale. `silent`: the share of silence, 0 to 1. `first` and `last`: the
    loudest frequency, in Hz, of the first and the last third of the parts that are not silent (0 if all is silent).
    `tonal`: the share of the energy within 50 Hz of the loudest frequency, 0 to 1: near 1 for a tone, low for noise.
    """

    seconds: float
    level: float
    peak: float
    silent: float
    onsets: int
    first: float
    last: float
    tonal: float


def hear(data: bytes, seconds: float | None = None) -> Heard:
    """Measures at most `seconds`, at most ten minutes, of a sound. Blocking. Raises NotAudio."""
    import numpy as np

    samples = decoded(data, seconds)
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    levels = _decibels(np.sqrt((frames**2).mean(axis=1)))
    loud = frames[levels > max(_SILENT_DB, float(levels.max()) - 30)]
    third = max(1, len(loud) // 3)
    return Heard(
        seconds=header(data).seconds,
        level=float(_decibels(np.sqrt((samples**2).mean()))),
        peak=float(_decibels(np.abs(samples).max())),
        silent=float((levels < _SILENT_DB).mean()),
        onsets=_onsets(levels),
        first=_pitch(loud[:third]),
        last=_pitch(loud[-third:]),
        tonal=_tonal(loud[:: len(loud) // 500 + 1]),
    )


def sentence(heard: Heard) -> str:
    """Returns `a sound of 3.0 s: …`, with a note that the embedded service has no speech recognition."""
    if heard.silent >= 0.99 or not heard.first:
        told = "silent"
    else:
        onsets = f"{heard.onsets} onset{'' if heard.onsets == 1 else 's'}"
        silent = f", {heard.silent:.0%} of it silent" if heard.silent >= 0.05 else ""
        told = f"level {heard.level:.0f} dB, peak {heard.peak:.0f} dB{silent}, {onsets}, {_movement(heard)}"
    return f"a sound of {heard.seconds:.1f} s: {told} (measured; the embedded service has no speech recognition)"


def likeness(heard: Heard) -> tuple[str, ...]:
    """Returns names of things that sound alike, for the vector: (`drum`, `rhythm`) for low beats.

    A guess from onsets, pitch and tonality, not recognition: the embedded service has no model that knows sounds.
    """
    if heard.silent >= 0.99 or not heard.first:
        return ("silence",)
    beats, tonal = heard.onsets >= 3, heard.tonal >= 0.5
    if max(heard.first, heard.last) < _LOW_HERTZ:
        return ("drum", "rhythm") if beats else ("hum", "engine")
    if not tonal:
        return ("clapping", "knocking") if beats else ("noise", "wind", "rain")
    if beats:
        return ("chime", "bell", "melody")
    moved = not 1 / _TURN < heard.last / heard.first < _TURN
    return ("siren", "whistle") if moved else ("tone", "whistle")


def _movement(heard: Heard) -> str:
    ratio = heard.last / heard.first
    if 1 / _TURN < ratio < _TURN:
        return f"strongest at about {heard.first:.0f} Hz"
    return f"{'rising' if ratio > 1 else 'falling'} from about {heard.first:.0f} Hz to {heard.last:.0f} Hz"


def _decibels(amplitude: Any) -> Any:
    import numpy as np

    return np.maximum(_FLOOR_DB, 20 * np.log10(np.maximum(amplitude, 1e-9)))


def _onsets(levels: np.ndarray[Any, Any]) -> int:
    count, last = 0, -_ONSET_GAP
    for place, level in enumerate(levels):
        before = levels[max(0, place - _ONSET_BACK) : place].min() if place else _FLOOR_DB
        if level > _SILENT_DB and level - before >= _ONSET_DB and place - last >= _ONSET_GAP:
            count, last = count + 1, place
    return count


def _pitch(frames: np.ndarray[Any, Any]) -> float:
    """Returns the median of the loudest frequency of each frame, in Hz, or 0 without frames."""
    import numpy as np

    if not len(frames):
        return 0.0
    return float(np.median(_spectra(frames)[:, 1:].argmax(axis=1) + 1) * _BIN)


def _tonal(frames: np.ndarray[Any, Any]) -> float:
    """Returns the median of each frame's share of energy within 50 Hz of its loudest frequency; 0 without frames."""
    import numpy as np

    if not len(frames):
        return 0.0
    energy = _spectra(frames)[:, 1:] ** 2
    places = np.arange(energy.shape[1])
    near = np.abs(places - energy.argmax(axis=1)[:, None]) <= 50 / _BIN
    return float(np.median((energy * near).sum(axis=1) / np.maximum(energy.sum(axis=1), 1e-12)))


def _spectra(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32), 4 * WINDOW, axis=1))


RATE = 16_000
WINDOW, HOP, _BANDS = 400, 160, 64
_BIN = RATE / (4 * WINDOW)  # Hz between two frequencies of `_spectra`
_SEGMENTS = 8
SIZE = _BANDS * (12 + _SEGMENTS)  # 1280
_LONGEST_SECONDS = 600.0


class NotAudio(Exception):
    """Raised for bytes that are not a sound that can be decoded. The message says why."""


class Audio(msgspec.Struct, frozen=True, kw_only=True):
    """The facts in the header of a sound. `format` is libsndfile's name of the container (`WAV`, `FLAC`, `MP3`, …)."""

    format: str
    seconds: float


def header(data: bytes) -> Audio:
    """Returns container and length, without decoding the whole sound. Raises NotAudio."""
    import soundfile

    try:
        info = soundfile.info(io.BytesIO(data))
    except Exception as error:
        raise NotAudio("the bytes are not a wav, flac or mp3 sound") from error
    container = "MP3" if "MP3" in str(info.format) or "MPEG" in str(info.subtype) else str(info.format)
    return Audio(format="WAV" if container == "WAVEX" else container, seconds=float(info.duration))


def statistics(data: bytes, *, seconds: float | None = None) -> np.ndarray[Any, Any]:
    """Returns 1280 float32: for each of 64 mel bands (0 to 8 kHz) 12 moments of the log energy over time and 8 segment
    means.

    The moments: mean, deviation, least, greatest, the 10th, 25th, 50th, 75th and 90th percentile, mean and deviation
    of the change from frame to frame, skewness. `seconds` cuts the sound. Raises NotAudio.
    """
    import numpy as np

    levels = _log_mel(decoded(data, seconds))
    mean, deviation = levels.mean(axis=0), levels.std(axis=0)
    change = np.diff(levels, axis=0) if len(levels) > 1 else np.zeros_like(levels)
    skew = (((levels - mean) / (deviation + 1e-6)) ** 3).mean(axis=0)
    segments = (
        [part.mean(axis=0) for part in np.array_split(levels, _SEGMENTS)]
        if len(levels) >= _SEGMENTS
        else ([mean] * _SEGMENTS)
    )
    rows = [mean, deviation, levels.min(axis=0), levels.max(axis=0)]
    rows += list(np.percentile(levels, [10, 25, 50, 75, 90], axis=0))
    rows += [np.abs(change).mean(axis=0), change.std(axis=0), skew, *segments]
    return np.concatenate(rows).astype(np.float32)


def decoded(data: bytes, seconds: float | None = None) -> np.ndarray[Any, Any]:
    """Returns mono float32 at 16 kHz, at most `seconds` and at most ten minutes. Raises NotAudio."""
    import numpy as np
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate = int(file.samplerate)
            values = file.read(int(rate * min(seconds or _LONGEST_SECONDS, _LONGEST_SECONDS)), dtype="float32")
    except Exception as error:
        raise NotAudio("the sound's data is truncated or broken") from error
    mono = values.mean(axis=1) if values.ndim > 1 else values
    if len(mono) == 0:
        raise NotAudio("the sound is empty")
    count = max(WINDOW, round(len(mono) * RATE / rate))
    resampled: np.ndarray[Any, Any] = np.interp(np.linspace(0, len(mono) - 1, count), np.arange(len(mono)), mono)
    return resampled.astype(np.float32)


def _log_mel(mono: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Returns frames × 64: the natural logarithm of the energy above a floor, so that silence is 0."""
    import numpy as np

    frames = np.lib.stride_tricks.sliding_window_view(mono, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW).astype(np.float32), axis=1)) ** 2
    levels: np.ndarray[Any, Any] = np.log1p((power @ _filters()) * 1e4)
    return levels


@cache
def _filters() -> np.ndarray[Any, Any]:
    """Returns triangles on the mel scale (2595·log10(1 + f/700)), frequency bins × bands."""
    import numpy as np

    def to_mel(hertz: float) -> float:
        return float(2595 * np.log10(1 + hertz / 700))

    edges = 700 * (10 ** (np.linspace(0, to_mel(RATE / 2), _BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(WINDOW, 1 / RATE)
    rising = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
