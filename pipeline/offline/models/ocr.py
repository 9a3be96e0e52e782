"""Reads text in pictures, in reading order, with RapidOCR and the PP-OCR weights of its wheel. Downloads nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from math import atan2, cos, hypot, sin
from pathlib import Path
from statistics import median
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.offline.models.image import Once

if TYPE_CHECKING:
    import numpy as np

Polygon = Sequence[tuple[float, float]]


def tilt(polygons: Sequence[Polygon]) -> float:
    """Returns the angle of the text in radians: the median over the top edges. Long boxes count more."""
    angles: list[float] = []
    for (x0, y0), (x1, y1), *_rest in polygons:
        weight = max(1, min(8, round(hypot(x1 - x0, y1 - y0) / 50)))
        angles += [atan2(y1 - y0, x1 - x0)] * weight
    return median(angles) if angles else 0.0


def in_reading_order(polygons: Sequence[Polygon]) -> list[tuple[int, int]]:
    """Returns (row, index) for each box, in reading order. Rows count from 0. Boxes whose bands overlap share a row."""
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
    """Tells whether a box stands in the row: the middles of box and row are close, compared with their heights."""
    middle = sum(member[0] for member in row) / len(row)
    half = sum(member[1] for member in row) / len(row)
    return abs(span[0] - middle) < 0.7 * min(half, span[1]) + 0.3 * max(half, span[1])


_LEAST_SCORE = 0.6  # below this score, the read text is more often texture than text
_SIDE = 960
_GLANCE_SIDE = 480


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of read text. `polygon`: four (x, y) in pixels of the given picture, clockwise from top left.

    `row` counts the written lines from 0. Pieces that stand beside each other have the same row.
    """

    text: str
    score: float
    polygon: tuple[tuple[float, float], ...]
    row: int = 0


class _Reader:
    """One RapidOCR engine. It keeps state between its steps, so it reads one picture at a time. It uses two threads."""

    def __init__(self) -> None:
        import rapidocr

        models = Path(rapidocr.__file__).parent / "models"
        logging.getLogger("RapidOCR").setLevel(logging.ERROR)
        self._lock = Lock()
        self._engine = rapidocr.RapidOCR(
            params={
                "Global.log_level": "error",
                "Global.use_cls": False,
                "Global.text_score": _LEAST_SCORE,
                "Det.model_path": str(_one(models, "*_det_*.onnx")),
                "Rec.model_path": str(_one(models, "*_rec_*.onnx")),
                "Det.limit_type": "max",
                "Det.limit_side_len": _SIDE,
                "EngineConfig.onnxruntime.intra_op_num_threads": 2,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def read(self, pixels: np.ndarray[Any, Any]) -> tuple[Line, ...]:
        with self._lock:
            found = self._engine(pixels)
        boxes, texts, scores = (getattr(found, name, None) for name in ("boxes", "txts", "scores"))
        if boxes is None or texts is None or scores is None:
            return ()
        lines = [
            Line(text=text, score=round(float(score), 4), polygon=tuple((float(x), float(y)) for x, y in box))
            for box, text, score in zip(boxes, texts, scores, strict=True)
            if text.strip()
        ]
        return tuple(
            msgspec.structs.replace(lines[index], row=row)
            for row, index in in_reading_order([line.polygon for line in lines])
        )


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise FileNotFoundError(f"the installed rapidocr wheel carries no {pattern} model")
    return found[0]


_reader: Once[_Reader] = Once(_Reader)


def read(pixels: np.ndarray[Any, Any]) -> tuple[Line, ...]:
    """Returns the text lines of a picture in reading order. `pixels`: uint8 [height, width, 3] in BGR. Blocking."""
    return _reader.get().read(pixels)


def glance(pixels: np.ndarray[Any, Any]) -> tuple[Line, ...]:
    """Returns the same as `read` for a smaller picture: it takes a quarter of the time and misses small print.

    The longer side is shrunk to at most 480 pixels, half of the side that `read` uses. The polygons are in pixels of
    the shrunk picture.
    """
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    ratio = min(1.0, _GLANCE_SIDE / max(height, width))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return _reader.get().read(np.array(small))


def as_text(lines: tuple[Line, ...]) -> str:
    """Returns the read text, one line for each written line. A space separates pieces that stand beside each other."""
    rows: dict[int, list[str]] = {}
    for line in lines:
        rows.setdefault(line.row, []).append(line.text)
    return "\n".join(" ".join(pieces) for pieces in rows.values())
