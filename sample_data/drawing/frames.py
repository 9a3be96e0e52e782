"""Two short scenes of twelve frames each: a ball that bounces across a field, and a slow move in on the cat."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

COUNT = 12
SIZE = (640, 360)
GROUND = 300


def ball(share: float) -> Image.Image:
    """Two bounces, from the left edge to the right one; `share` of the way, 0 to 1."""
    picture = Image.new("RGB", SIZE, (168, 208, 240))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((520, 30, 590, 100), (255, 228, 120))
    draw.rectangle((0, GROUND, *SIZE), (96, 160, 80))
    draw.rectangle((70, 150, 90, GROUND), (110, 80, 50))
    draw.ellipse((30, 80, 130, 180), (60, 120, 60))
    phase = (2 * share) % 1
    x, y = 40 + 560 * share, GROUND - 30 - 4 * 190 * phase * (1 - phase) * (1 - 0.35 * share)
    flat = 1 - (y / (GROUND - 30)) ** 2
    draw.ellipse((x - 34 + 16 * flat, GROUND + 8, x + 34 - 16 * flat, GROUND + 24), (70, 126, 60))
    draw.ellipse((x - 30, y - 30, x + 30, y + 30), (214, 48, 40), (120, 20, 16), 3)
    draw.ellipse((x - 16, y - 18, x - 4, y - 6), (250, 190, 180))
    return picture


def _cat(step: int, photo: Image.Image) -> Image.Image:
    """From the whole width of the photograph to two thirds of it, towards the eyes."""
    share = step / (COUNT - 1)
    width = photo.width * (1 - share / 3)
    height = width * SIZE[1] / SIZE[0]
    left = (photo.width - width) * 0.45
    top = (photo.height - height) * (0.5 - 0.2 * share)
    return photo.resize(SIZE, Image.Resampling.BICUBIC, (left, top, left + width, top + height))


def write_frames(folder: Path, cat: Path) -> None:
    """`<scene>/frame_1.jpg` … `frame_12.jpg`; without leading zeros, so that order by name is not order in time."""
    with Image.open(cat) as photo:
        scenes = {
            "ball": [ball(step / (COUNT - 1)) for step in range(COUNT)],
            "cat": [_cat(step, photo) for step in range(COUNT)],
        }
    for scene, frames in scenes.items():
        (folder / scene).mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames, 1):
            frame.save(folder / scene / f"frame_{number}.jpg", quality=75, optimize=True)
