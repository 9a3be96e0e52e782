"""What a picture says of itself without any model: size, orientation, brightness, colours, sharpness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

_HUES = (
    (20, "red"),
    (45, "orange"),
    (70, "yellow"),
    (165, "green"),
    (200, "cyan"),
    (260, "blue"),
    (320, "purple"),
    (345, "pink"),
    (361, "red"),
)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """`brightness` and `colourfulness` from 0 to 1; `colours` the one or two words that cover most of the picture."""

    width: int
    height: int
    brightness: float
    colourfulness: float
    colours: tuple[str, ...]

    @property
    def orientation(self) -> str:
        if self.width > 1.1 * self.height:
            return "landscape"
        return "portrait" if self.height > 1.1 * self.width else "square"

    @property
    def tone(self) -> str:
        """`dark`, `bright` or an empty string."""
        if self.brightness < 0.25:
            return "dark"
        return "bright" if self.brightness > 0.75 else ""


def look(image: Image.Image) -> Facts:
    """The facts of an upright RGB picture; looks at 64×64 pixels of it."""
    import numpy as np
    from PIL import Image

    small = image.resize((64, 64), Image.Resampling.BOX, reducing_gap=2.0)
    hsv = np.asarray(small.convert("HSV"), dtype=np.float32).reshape(-1, 3)
    light = np.asarray(small.convert("L"), dtype=np.float32)
    return Facts(
        width=image.width,
        height=image.height,
        brightness=round(float(light.mean()) / 255, 3),
        colourfulness=round(float(hsv[:, 1].mean()) / 255, 3),
        colours=_colours(hsv),
    )


def _colours(hsv: np.ndarray[Any, Any]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for hue, saturation, value in hsv[::4]:
        word = _word(float(hue) * 360 / 255, float(saturation) / 255, float(value) / 255)
        counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(word for word, count in ranked[:2] if count >= 0.15 * len(hsv[::4]))


def _word(hue: float, saturation: float, value: float) -> str:
    if value < 0.2:
        return "black"
    if saturation < 0.18:
        return "white" if value > 0.8 else "grey"
    word = next(name for limit, name in _HUES if hue < limit)
    return "brown" if word in ("red", "orange", "yellow") and value < 0.62 else word
