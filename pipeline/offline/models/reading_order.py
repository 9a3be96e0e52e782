"""Puts boxes of text into reading order: rows from top to bottom along the text's own tilt, then left to right."""

from __future__ import annotations

from collections.abc import Sequence
from math import atan2, cos, hypot, sin
from statistics import median

Polygon = Sequence[tuple[float, float]]


def tilt(polygons: Sequence[Polygon]) -> float:
    """The angle of the text in radians: the median of the top edges, each long box counting more than a short one."""
    angles: list[float] = []
    for (x0, y0), (x1, y1), *_rest in polygons:
        weight = max(1, min(8, round(hypot(x1 - x0, y1 - y0) / 50)))
        angles += [atan2(y1 - y0, x1 - x0)] * weight
    return median(angles) if angles else 0.0


def in_reading_order(polygons: Sequence[Polygon]) -> list[tuple[int, int]]:
    """(row, index) for each box, rows counted from 0. Boxes whose bands overlap share a row."""
    angle = tilt(polygons)
    down = (-sin(angle), cos(angle))
    along = (cos(angle), sin(angle))
    spans = []
    for index, polygon in enumerate(polygons):
        heights = [x * down[0] + y * down[1] for x, y in polygon]
        left = min(x * along[0] + y * along[1] for x, y in polygon)
        middle = sum(heights) / len(heights)
        half = abs(sum(heights[2:]) - sum(heights[:2])) / 4
        spans.append((middle, half, left, index))
    rows: list[list[tuple[float, float, float, int]]] = []
    for span in sorted(spans):
        if rows and _beside(rows[-1], span):
            rows[-1].append(span)
        else:
            rows.append([span])
    return [
        (number, index)
        for number, row in enumerate(rows)
        for _middle, _half, _left, index in sorted(row, key=lambda span: span[2])
    ]


def _beside(row: list[tuple[float, float, float, int]], span: tuple[float, float, float, int]) -> bool:
    """Whether a box stands in the row: its middle is within the row's band, and the row's within its own."""
    middle = sum(member[0] for member in row) / len(row)
    half = sum(member[1] for member in row) / len(row)
    return abs(span[0] - middle) < 0.7 * min(half, span[1]) + 0.3 * max(half, span[1])
