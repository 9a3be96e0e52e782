"""The names of the 1000 ImageNet classes, and a general word for each class that has one."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np

# First and last class of each family. ImageNet's class order follows WordNet, so relatives are neighbours.
_FAMILIES: tuple[tuple[int, int, str], ...] = (
    (0, 6, "fish"),
    (7, 24, "bird"),
    (25, 32, "amphibian"),
    (33, 37, "turtle"),
    (38, 48, "lizard"),
    (49, 50, "crocodile"),
    (52, 68, "snake"),
    (70, 79, "spider or its kin"),
    (80, 100, "bird"),
    (104, 106, "marsupial"),
    (112, 117, "shellfish"),
    (118, 126, "crustacean"),
    (127, 146, "bird"),
    (147, 150, "sea mammal"),
    (151, 268, "dog"),
    (269, 275, "wild dog"),
    (277, 280, "fox"),
    (281, 285, "cat"),
    (286, 293, "big cat"),
    (294, 297, "bear"),
    (300, 320, "insect"),
    (321, 326, "butterfly"),
    (330, 332, "rabbit"),
    (333, 338, "rodent"),
    (339, 340, "horse"),
    (341, 343, "pig"),
    (345, 347, "cattle"),
    (348, 353, "horned animal"),
    (365, 369, "ape"),
    (370, 382, "monkey"),
    (383, 384, "lemur"),
    (385, 386, "elephant"),
    (389, 397, "fish"),
    (936, 947, "vegetable"),
    (948, 957, "fruit"),
    (991, 997, "fungus"),
)


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """One class. `name`: readable words. `family`: the general word, or None. `share`: the share of the probability."""

    name: str
    family: str | None
    share: float


class _Table(msgspec.Struct):
    source: str
    names: tuple[str, ...]


@cache
def names() -> tuple[str, ...]:
    """Returns the 1000 names in the order of the model's outputs."""
    table = msgspec.json.decode(Path(__file__).with_name("labels.json").read_bytes(), type=_Table)
    return table.names


@cache
def family(index: int) -> str | None:
    """Returns the general word for a class ("cat" for the tabby), or None if the list has no word."""
    return next((word for first, last, word in _FAMILIES if first <= index <= last), None)


def tags_of(shares: np.ndarray[Any, Any], count: int = 5) -> tuple[Tag, ...]:
    """Returns the `count` likeliest classes of 1000 probabilities, the likeliest class first."""
    best = shares.argsort()[::-1][:count]
    return tuple(Tag(name=names()[i], family=family(int(i)), share=round(float(shares[i]), 4)) for i in best)
