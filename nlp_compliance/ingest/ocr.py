"""Text of pictures by RapidOCR on ONNX Runtime (optional extra `ocr`); nothing is downloaded.

Only the models inside the wheel are used: any other choice would be fetched from a hub at the first call. Tall
posters are read in overlapping tiles, because scaling one down to the engine's side limit garbles its fine print,
and the fine print is where the disclosures stand. A picture that lies on its side or head, as phones and scanners leave
them without a note, betrays itself in its first reading and is read once more, turned upright, where that is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
# Below this nothing is kept: shapes that only look like writing.
_LEAST = 0.5
# A box that is more times as thick as another is that of a slanted line; edges of tiles cut lines to less.
_THICKEST = 4
# Upright posters, blurred ones too, are read with more than this on average, characters on their head with less.
_CERTAIN = 0.85


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
            # Refused below, once they have told how the picture lies.
            "Global.text_score": 0.0,
            "Global.max_side_len": TILE_SIDE * 2,
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": 2,
        }
    )


def read_lines(picture: npt.NDArray[np.uint8]) -> list[Line]:
    """Lines of `picture`, shape (height, width, 3), in reading order. Raises MissingExtraError without the extra."""
    height, width = picture.shape[:2]
    lines, quarters = _upright(picture)
    return [replace(line, box=_turned_back(line.box, quarters, width, height)) for line in _reading_order(lines)]


def _upright(picture: npt.NDArray[np.uint8]) -> tuple[list[Line], int]:
    """Lines as they lie once the picture is turned upright, and the quarter turns against the clock that this takes."""
    height, width = picture.shape[:2]
    found = _found(picture)
    downwards = sum(line.box.y1 - line.box.y0 for line in found) > sum(line.box.x1 - line.box.x0 for line in found)
    if _certainty(found) >= _CERTAIN:
        if not downwards:
            return found, 0
        # The engine turned lines that run downwards by one quarter against the clock, and could read them. The picture
        # needs the same turn, and only for their order; so do columns of Chinese, which go from right to left.
        return [replace(line, box=_turned_back(line.box, 3, height, width)) for line in found], 1
    quarters = 3 if downwards else 2
    turned = _found(np.rot90(picture, quarters))
    return (turned, quarters) if _certain_characters(turned) > _certain_characters(found) else (found, 0)


def _found(picture: npt.NDArray[np.uint8]) -> list[Line]:
    """Whatever looks like a line, each once."""
    found: list[Line] = []
    for left, top, tile in _tiles(picture):
        earlier = len(found)
        result = _engine()(tile)
        if result.boxes is None:
            continue
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            xs, ys = corners[:, 0] + left, corners[:, 1] + top
            line = Line(
                str(text), Box(float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())), float(score)
            )
            _keep_better(found, line, earlier)
    return found


def _certainty(lines: Sequence[Line]) -> float:
    """Mean confidence of a character; 1 without any."""
    characters = sum(len(line.text) for line in lines)
    return sum(len(line.text) * line.confidence for line in lines) / characters if characters else 1.0


def _certain_characters(lines: Sequence[Line]) -> int:
    return sum(len(line.text) for line in lines if line.confidence >= _CERTAIN)


def _turned_back(box: Box, quarters: int, width: int, height: int) -> Box:
    """The place on a picture of `width` and `height` of a box on that picture turned by so many quarters."""
    if quarters == 0:
        return box
    if quarters == 1:
        return Box(width - box.y1, box.x0, width - box.y0, box.x1)
    if quarters == 2:
        return Box(width - box.x1, height - box.y1, width - box.x0, height - box.y0)
    return Box(box.y0, height - box.x1, box.y1, height - box.x0)


def _tiles(picture: npt.NDArray[np.uint8]) -> Iterator[tuple[int, int, npt.NDArray[np.uint8]]]:
    height, width = picture.shape[:2]
    for top in _starts(height):
        for left in _starts(width):
            yield left, top, np.ascontiguousarray(picture[top : top + TILE_SIDE, left : left + TILE_SIDE])


def _starts(length: int) -> list[int]:
    if length <= TILE_SIDE + OVERLAP:
        return [0]
    return list(range(0, length - OVERLAP, TILE_SIDE - OVERLAP))


def _keep_better(found: list[Line], line: Line, earlier: int) -> None:
    """A line seen in two tiles, now and among the `earlier` ones, is kept once: the longer reading, since a tile's edge
    cuts lines."""
    for place, other in enumerate(found[:earlier]):
        if overlap(line.box, other.box) > 0.5 and _alike(line.box, other.box):
            if _worth(line) > _worth(other):
                found[place] = line
            return
    found.append(line)


def _alike(a: Box, b: Box) -> bool:
    """Whether both lines may be as thick as each other; the box of a slanted one holds others."""
    thin, thick = sorted(min(box.x1 - box.x0, box.y1 - box.y0) for box in (a, b))
    return thick < _THICKEST * thin


def _worth(line: Line) -> tuple[bool, int, float]:
    return line.confidence >= _LEAST, len(line.text), line.confidence


def overlap(a: Box, b: Box) -> float:
    """Shared area as a share of the smaller box."""
    width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min((a.x1 - a.x0) * (a.y1 - a.y0), (b.x1 - b.x0) * (b.y1 - b.y0))
    return width * height / max(smaller, 1.0)


def _reading_order(lines: Sequence[Line]) -> list[Line]:
    """What is worth keeping, top to bottom; lines whose middles share a row go left to right."""
    rows: list[list[Line]] = []
    kept = (line for line in lines if line.confidence >= _LEAST)
    for line in sorted(kept, key=lambda item: (item.box.y0 + item.box.y1, item.box.x0)):
        middle = (line.box.y0 + line.box.y1) / 2
        if rows and rows[-1][0].box.y0 <= middle <= rows[-1][0].box.y1:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda item: item.box.x0)]
