"""Three synthesised sounds, mono at 16 kHz: a chime of three notes, a rising chirp, a drum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 16_000

Samples = npt.NDArray[np.float64]


def _time(seconds: float) -> Samples:
    return np.arange(round(seconds * RATE)) / RATE


def chime() -> Samples:
    """E5, C5, G4, half a second apart, each with two overtones and a decay, 3 s in all."""
    out = np.zeros(3 * RATE)
    for beat, pitch in enumerate((659.26, 523.25, 392.0)):
        start = beat * RATE // 2
        t = _time(3 - beat * 0.5)
        note = sum(np.sin(2 * np.pi * pitch * k * t) / k**2 for k in (1, 2, 3))
        out[start:] += note * np.exp(-2.5 * t) * np.minimum(1, t / 0.005)
    return out


def chirp() -> Samples:
    """A tone rising from 200 Hz to 4 kHz within 2 s."""
    t = _time(2)
    return np.sin(2 * np.pi * (200 * t + (4000 - 200) / 4 * t**2)) * np.minimum(1, np.minimum(t, 2 - t) / 0.05)


def drum() -> Samples:
    """Five beats in 2.5 s: a falling low tone and, on the second and fourth, a burst of noise."""
    rng = np.random.default_rng(41)
    out = np.zeros(round(2.5 * RATE))
    t = _time(0.5)
    for beat in range(5):
        kick = np.sin(2 * np.pi * (55 * t + 6 * (1 - np.exp(-25 * t)))) * np.exp(-9 * t)
        snare = rng.normal(0, 0.5, t.size) * np.exp(-18 * t) if beat % 2 else 0.0
        out[beat * t.size : (beat + 1) * t.size] += kick + snare
    return out


def write_sounds(folder: Path) -> None:
    """The chime in all three formats, the others in one each; peaks at 0.8."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "chime.wav": chime,
        "chime.flac": chime,
        "chime.mp3": chime,
        "chirp.flac": chirp,
        "drum.wav": drum,
        "drum.mp3": drum,
    }
    for name, make in files.items():
        samples = make()
        soundfile.write(folder / name, 0.8 * samples / np.abs(samples).max(), RATE)
