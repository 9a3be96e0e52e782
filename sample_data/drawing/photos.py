"""The photographs: public domain and CC0 pictures of the scikit-image wheel as JPEG, and altered copies of three."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from PIL import Image

# file in skimage/data -> (our name, JPEG quality). Licences: docstrings of skimage/data/_fetchers.py, see README.md.
PHOTOS = {
    "astronaut.png": ("astronaut", 88),
    "brick.png": ("brick", 85),
    "camera.png": ("camera", 88),
    "cell.png": ("cell", 90),
    "chelsea.png": ("chelsea", 90),
    "clock_motion.png": ("clock_motion", 90),
    "coffee.png": ("coffee", 88),
    "grass.png": ("grass", 80),
    "gravel.png": ("gravel", 80),
    "horse.png": ("horse", 90),
    "hubble_deep_field.jpg": ("hubble_deep_field", 80),
    "retina.jpg": ("retina", 88),
    "rocket.jpg": ("rocket", 88),
}
LONGEST = 1000

# our name -> cut from left, top, right, bottom as shares of the sides, and JPEG quality
VARIANTS = {
    "chelsea": ((0.03, 0.04, 0.02, 0.01), 72),
    "coffee": ((0.04, 0.02, 0.01, 0.03), 65),
    "rocket": ((0.02, 0.03, 0.03, 0.02), 70),
}


def _opaque(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    page = Image.new("RGB", picture.size, "white")
    page.paste(picture, mask=picture.getchannel("A"))
    return page


def write_photos(folder: Path) -> None:
    """Re-encode each photograph, at most LONGEST pixels a side, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    source = importlib.resources.files("skimage") / "data"
    for file, (name, quality) in PHOTOS.items():
        with Image.open(str(source / file)) as original:
            picture = _opaque(original)
            picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
            picture.save(folder / f"{name}.jpg", quality=quality, optimize=True)


def write_variants(photos: Path, folder: Path) -> None:
    """Cut 1 to 4 % off each edge of three photographs and encode them again at lower quality."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ((left, top, right, bottom), quality) in VARIANTS.items():
        with Image.open(photos / f"{name}.jpg") as picture:
            width, height = picture.size
            box = (round(width * left), round(height * top), round(width * (1 - right)), round(height * (1 - bottom)))
            picture.crop(box).save(folder / f"{name}_cropped.jpg", quality=quality)
