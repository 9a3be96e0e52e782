"""What a sound says of itself without any model: length, loudness, silence, onsets, pitch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.offline.models import audio_features

if TYPE_CHECKING:
    import numpy as np

_FLOOR_DB = -100.0
_SILENT_DB = -50.0  # below full scale; a quiet room is recorded at about −60
_ONSET_DB, _ONSET_GAP, _ONSET_BACK = 9.0, 15, 10  # a rise of 9 dB over the last 100 ms, 150 ms and more apart
_TURN = 1.25  # a quarter up or down is heard as a movement: about four semitones


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """`level` and `peak` in dB below full scale; `silent` a share; `first` and `last` the loudest frequency, in Hz, of
    the first and the last third of what is not silent (0 where all is)."""

    seconds: float
    level: float
    peak: float
    silent: float
    onsets: int
    first: float
    last: float


def hear(data: bytes) -> Heard:
    """Measures a sound, at most ten minutes of it. Blocking. Raises sound.NotSound."""
    import numpy as np

    samples = audio_features.samples(data)
    frames = np.lib.stride_tricks.sliding_window_view(samples, audio_features.WINDOW)[:: audio_features.HOP]
    levels = _decibels(np.sqrt((frames**2).mean(axis=1)))
    loud = frames[levels > max(_SILENT_DB, float(levels.max()) - 30)]
    third = max(1, len(loud) // 3)
    return Heard(
        seconds=audio_features.header(data).seconds,
        level=float(_decibels(np.sqrt((samples**2).mean()))),
        peak=float(_decibels(np.abs(samples).max())),
        silent=float((levels < _SILENT_DB).mean()),
        onsets=_onsets(levels),
        first=_pitch(loud[:third]),
        last=_pitch(loud[-third:]),
    )


def sentence(heard: Heard) -> str:
    """`a sound of 3.0 s: …`, and what the embedded service cannot tell."""
    if heard.silent >= 0.99 or not heard.first:
        told = "silent"
    else:
        onsets = f"{heard.onsets} onset{'' if heard.onsets == 1 else 's'}"
        silent = f", {heard.silent:.0%} of it silent" if heard.silent >= 0.05 else ""
        told = f"level {heard.level:.0f} dB, peak {heard.peak:.0f} dB{silent}, {onsets}, {_movement(heard)}"
    return f"a sound of {heard.seconds:.1f} s: {told} (measured; the embedded service has no speech recognition)"


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
    """The median of the loudest frequency of each frame."""
    import numpy as np

    if not len(frames):
        return 0.0
    power = np.abs(
        np.fft.rfft(frames * np.hanning(audio_features.WINDOW).astype(np.float32), 4 * audio_features.WINDOW, axis=1)
    )
    return float(np.median(power[:, 1:].argmax(axis=1) + 1) * audio_features.RATE / (4 * audio_features.WINDOW))
