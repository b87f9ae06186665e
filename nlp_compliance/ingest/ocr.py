"""Text of pictures by RapidOCR on ONNX Runtime (optional extra `ocr`); nothing is downloaded.

Only the models inside the wheel are used: any other choice would be fetched from a hub at the first call. Tall
posters are read in overlapping tiles, because scaling one down to the engine's side limit garbles its fine print,
and the fine print is where the disclosures stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from nlp_compliance.errors import MissingExtraError
from nlp_compliance.records import Box

TILE_SIDE = 1_600
OVERLAP = 160
# Below this the engine is guessing: the region is still read, and named as doubtful.
DOUBTFUL = 0.6


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text on a picture; `box` in pixels of the whole picture, `confidence` in [0, 1]."""

    text: str
    box: Box
    confidence: float


def available() -> bool:
    """Whether the extra is installed."""
    try:
        import rapidocr  # noqa: F401
    except ImportError:
        return False
    return True


@lru_cache(maxsize=1)
def _engine() -> Any:
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        raise MissingExtraError(
            "pictures need the optional extra ocr; install it: pip install 'nlp-compliance[ocr]'"
        ) from error
    return RapidOCR(
        params={
            "Global.use_cls": False,
            "Global.max_side_len": TILE_SIDE * 2,
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": 2,
        }
    )


def read_lines(picture: npt.NDArray[np.uint8]) -> list[Line]:
    """Lines of `picture`, shape (height, width, 3), in reading order. Raises MissingExtraError without the extra."""
    found: list[Line] = []
    for left, top, tile in _tiles(picture):
        result = _engine()(tile)
        if result.boxes is None:
            continue
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            xs, ys = corners[:, 0] + left, corners[:, 1] + top
            line = Line(
                str(text), Box(float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())), float(score)
            )
            _keep_better(found, line)
    return _reading_order(found)


def _tiles(picture: npt.NDArray[np.uint8]) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    height, width = picture.shape[:2]
    for top in _starts(height):
        for left in _starts(width):
            yield left, top, np.ascontiguousarray(picture[top : top + TILE_SIDE, left : left + TILE_SIDE])


def _starts(length: int) -> list[int]:
    if length <= TILE_SIDE + OVERLAP:
        return [0]
    return list(range(0, length - OVERLAP, TILE_SIDE - OVERLAP))


def _keep_better(found: list[Line], line: Line) -> None:
    """A line seen in two tiles is kept once: the longer reading, since a tile's edge cuts lines."""
    for place, other in enumerate(found):
        if overlap(line.box, other.box) > 0.5:
            if (len(line.text), line.confidence) > (len(other.text), other.confidence):
                found[place] = line
            return
    found.append(line)


def overlap(a: Box, b: Box) -> float:
    """Shared area as a share of the smaller box."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((a.x1 - a.x0) * (a.y1 - a.y0), (b.x1 - b.x0) * (b.y1 - b.y0))
    return width * height / max(smaller, 1.0)


def _reading_order(lines: list[Line]) -> list[Line]:
    """Top to bottom; lines whose middles share a row go left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda item: (item.box.y0 + item.box.y1, item.box.x0)):
        middle = (line.box.y0 + line.box.y1) / 2
        if rows and rows[-1][0].box.y0 <= middle <= rows[-1][0].box.y1:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda item: item.box.x0)]
