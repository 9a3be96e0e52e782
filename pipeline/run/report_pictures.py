"""The pictures of a report: thumbnails of the rows' files, made in a few threads, or the reason why there is none."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from pipeline.errors import Fault
from pipeline.media.pdf import DPI
from pipeline.media.thumbnail import Thumbnails, thumbnails

SMALL = 200
"""Pixels of a thumbnail's longer side: about 3.3 KB as WebP, the mean over sample_data."""
LARGE = 960
THREADS = min(4, os.cpu_count() or 1)
"""Each thread holds one decoded picture (media.thumbnail.MOST_PIXELS)."""
TRIED = 3
"""References of a row that are tried until one is a picture."""

REASONS = {
    "Remote": "a URL, not fetched",
    "NotKept": "not kept: the picture stood in the manifest",
    "Sound": "sound",
    "Video": "video",
    "MissingFile": "file not found",
    "MissingMember": "not in the archive",
    "NoPermission": "no permission to read",
    "TooLarge": "too large to show",
    "TooManyPixels": "too large to show",
    "EmptyFile": "empty file",
    "NotAPicture": "not a picture",
}
"""The code of a fault, without `Local.` → what stands in the place of the picture."""
NO_MEDIA = "no picture"
OTHER = "cannot be read"


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The picture of a row, or the reason why there is none."""

    found: Thumbnails | None = None
    why: str = NO_MEDIA

    def fields(self) -> dict[str, Any]:
        """Returns what the page gets: `small` and `large` as data: URLs, `width` and `height`, or `why`."""
        if self.found is None:
            return {"why": self.why}
        urls = [f"data:image/webp;base64,{base64.b64encode(image).decode()}" for image in self.found.images]
        shown = {"small": urls[-1], "width": self.found.width, "height": self.found.height}
        return {**shown, "large": urls[0]} if len(urls) > 1 else shown


def picture(sources: Sequence[str], sides: Sequence[int], dpi: int | None) -> Picture:
    """Returns the first of the sources that is a picture, in each of the sides (descending). Blocking."""
    why = NO_MEDIA
    for source in sources[:TRIED]:
        try:
            return Picture(found=thumbnails(source, sides, dpi or DPI))
        except Fault as fault:
            reason = REASONS.get(fault.code.removeprefix("Local."), OTHER)
        except Exception:  # of whatever class a broken picture raises: the row is shown without one
            reason = OTHER
        why = reason if why == NO_MEDIA else why
    return Picture(why=why)


def pictures(
    sources: Iterable[Sequence[str]], sides: Sequence[int], dpi: int | None, done: Callable[[], None] = lambda: None
) -> Iterator[Picture]:
    """Yields the picture of each row, in order. done: called after each."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="thumbnails") as pool:
        for made in pool.map(lambda row: picture(row, sides, dpi), sources):
            done()
            yield made
