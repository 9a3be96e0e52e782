"""Reads text in pictures: RapidOCR with the PP-OCR weights of its own wheel, never anything downloaded."""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.offline.models.once import Once
from pipeline.offline.models.reading_order import in_reading_order

if TYPE_CHECKING:
    import numpy as np

_LEAST_SCORE = 0.6  # below it what is read is more often texture than text
_SIDE = 960
_GLANCE_SIDE = 480


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of read text. `polygon`: four (x, y) in pixels of the picture given, clockwise from top left.

    `row` counts the written lines from 0: pieces that stand beside each other share it.
    """

    text: str
    score: float
    polygon: tuple[tuple[float, float], ...]
    row: int = 0


class _Reader:
    """One RapidOCR engine. It keeps state between its steps, so one picture at a time; it uses both cores itself."""

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
    """Text lines in reading order of a picture, uint8 [height, width, 3] in BGR order. Blocking."""
    return _reader.get().read(pixels)


def glance(pixels: np.ndarray[Any, Any]) -> tuple[Line, ...]:
    """As `read`, but of a picture shrunk to half the size: a quarter of the time, and small print is missed.

    The polygons are in pixels of the shrunk picture.
    """
    import numpy as np
    from PIL import Image

    height, width = pixels.shape[:2]
    ratio = min(1.0, _GLANCE_SIDE / max(height, width))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return _reader.get().read(np.array(small))


def as_text(lines: tuple[Line, ...]) -> str:
    """The read text: one written line a line, pieces beside each other with a space between."""
    rows: dict[int, list[str]] = {}
    for line in lines:
        rows.setdefault(line.row, []).append(line.text)
    return "\n".join(" ".join(pieces) for pieces in rows.values())
