"""Positions in the picture that was sent, as positions in the original."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.types import Loaded


def original_coordinates(loaded: Loaded, polygon: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """(x, y) points in pixels of what was sent → of the original picture with its EXIF orientation applied.

    What was sent is seen upright in both, so that a scale is all. Points come back unchanged where a size is not known.
    """
    width, height = loaded.original_width, loaded.original_height
    if not (loaded.width and loaded.height and width and height):
        return tuple((x, y) for x, y in polygon)
    across, down = width / loaded.width, height / loaded.height
    return tuple((x * across, y * down) for x, y in polygon)
