"""Draws the sample data anew: `python sample_data/draw.py [part ...]`, parts as in PARTS, all of them by default.

Needs scikit-image (photographs), soundfile (sounds), PyAV (videos) and the font packages fonts-noto-cjk and
fonts-dejavu (texts).
The committed pictures of text and their truth are what reading is measured on: they are not to be changed to suit it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from drawing.bad import write_bad
from drawing.exercises import write_exercises
from drawing.frames import write_frames
from drawing.photos import write_photos, write_variants
from drawing.sounds import write_sounds
from drawing.tables import write_photos_parquet
from drawing.texts import write_texts
from drawing.videos import write_videos

HERE = Path(__file__).resolve().parent

PARTS = {
    "photos": lambda: write_photos(HERE / "photos"),
    "variants": lambda: write_variants(HERE / "photos", HERE / "photos_variants"),
    "texts": lambda: write_texts(HERE / "texts"),
    "exercises": lambda: write_exercises(HERE / "exercises"),
    "frames": lambda: write_frames(HERE / "frames", HERE / "photos" / "chelsea.jpg"),
    "videos": lambda: write_videos(HERE / "videos"),
    "sounds": lambda: write_sounds(HERE / "sounds"),
    "bad": lambda: write_bad(HERE / "bad", HERE / "photos"),
    "tables": lambda: write_photos_parquet(HERE / "photos.jsonl", HERE / "photos.parquet"),
}


def main(names: list[str]) -> None:
    unknown = set(names) - set(PARTS)
    if unknown:
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    for name in names or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
