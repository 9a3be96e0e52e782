"""Measures facts of a picture that need no model, and makes sentences from tags, facts and read text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.offline.models.labels import Tag

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
    """The facts of one picture. `brightness` and `colourfulness` are from 0 to 1.

    `colours`: at most two words, for the colours that cover most of the picture.
    """

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
        """Returns `dark`, `bright` or an empty string."""
        if self.brightness < 0.25:
            return "dark"
        return "bright" if self.brightness > 0.75 else ""


def look(image: Image.Image) -> Facts:
    """Returns the facts of an upright RGB picture, measured on the picture reduced to 64×64 pixels."""
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


_SURE, _LIKELY = 0.5, 0.2
_FAMILY_SURE, _FAMILY_LIKELY = 0.6, 0.35
_UNCOUNTED = ("espresso", "guacamole", "consommé", "ice cream", "mashed potato", "broccoli", "corn", "hay", "dough")
_PLURAL = ("sunglasses", "jeans", "binoculars", "pyjamas", "trunks", "bars", "pipes")
_QUOTED = 120


class View(msgspec.Struct, frozen=True, kw_only=True):
    """All known facts of one picture. `text` is the read text, empty if no text was read."""

    tags: tuple[Tag, ...]
    facts: Facts
    text: str = ""


def caption(view: View) -> str:
    """Returns one sentence: the things that the tagger sees, the look of the picture, and the start of its text."""
    setting = f"{_article(_look(view.facts))} {_look(view.facts)} picture{_tones(view.facts)}"
    if _much_text(view.text):
        return f"{_capital(setting)} that shows text: {_quote(view.text)}."
    subject = _subject(view.tags)
    sentence = f"{_capital(subject)} in {setting}" if subject else f"{_capital(setting)}{_guess(view.tags)}"
    if view.text:
        sentence += f", with the text {_quote(view.text)}"
    return sentence + "."


def subject_words(tags: Sequence[Tag]) -> str:
    """Returns the likeliest thing in a few words, for lists of frames and answers."""
    return _subject(tags) or f"something the tagger is not sure of (nearest: {tags[0].name}, {tags[0].share:.0%})"


def _subject(tags: Sequence[Tag]) -> str:
    """Returns `a cat, probably an Egyptian cat or a tiger cat`, or "" if no class and no family is likely enough."""
    families: dict[str, float] = {}
    for tag in tags:
        if tag.family:
            families[tag.family] = families.get(tag.family, 0.0) + tag.share
    family = max(families, key=lambda name: families[name], default=None)
    best = tags[0]
    if family and families[family] >= _FAMILY_SURE and families[family] > best.share + 0.02:
        kinds = [tag.name for tag in tags if tag.family == family and tag.share >= 0.5 * best.share][:2]
        return f"{_with_article(family)}, probably {' or '.join(_with_article(kind) for kind in kinds)},"
    if best.share >= _SURE:
        return _with_article(best.name)
    if family and families[family] >= _FAMILY_LIKELY:
        return f"what is perhaps {_with_article(family)} ({families[family]:.0%} sure)"
    if best.share >= _LIKELY:
        return f"what is perhaps {_with_article(best.name)} ({best.share:.0%} sure)"
    return ""


def _guess(tags: Sequence[Tag]) -> str:
    names = " or ".join(_with_article(tag.name) for tag in tags[:2])
    return f"; the tagger is not sure what it shows (nearest: {names}, {tags[0].share:.0%} and {tags[1].share:.0%})"


def _look(facts: Facts) -> str:
    kind = "black-and-white " if facts.colourfulness < 0.02 else ""
    return f"{facts.tone + ' ' if facts.tone else ''}{kind}{facts.orientation}"


def _tones(facts: Facts) -> str:
    if not facts.colours or facts.colourfulness < 0.02:
        return ""
    return f" in {' and '.join(facts.colours)} tones"


def _much_text(text: str) -> bool:
    return len("".join(text.split())) >= 12


def _quote(text: str) -> str:
    flat = " / ".join(line for line in text.split("\n") if line.strip())
    return f"“{flat if len(flat) <= _QUOTED else flat[:_QUOTED].rstrip() + '…'}”"


def _with_article(noun: str) -> str:
    return noun if noun in _UNCOUNTED or noun.endswith(_PLURAL) else f"{_article(noun)} {noun}"


def _article(noun: str) -> str:
    return "an" if noun[0].lower() in "aeiou" and not noun.lower().startswith(("eu", "uni")) else "a"


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
