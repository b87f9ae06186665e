"""How well OCR reads the picture fixtures, whose text is known, and pictures with the boxes of their lines drawn.

    python -m tests.ingest.accuracy [--boxes FOLDER]

Blanks do not count. Made pictures are cleaner than photographs: take the figures as an upper end.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from nlp_compliance.ingest import ocr
from nlp_compliance.ingest.limits import Limits
from nlp_compliance.ingest.reader import Reader
from nlp_compliance.records import Document
from nlp_compliance.settings import Settings

FIXTURES = Path(__file__).parents[1] / "fixtures"
PICTURES = ("poster-tall.png", "poster-busy.jpg", "scan.pdf")


def dense(text: str) -> str:
    return "".join(text.split())


def wrong_characters(expected: str, found: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(found) + 1))
    for i, a in enumerate(expected, 1):
        last, row[0] = row[0], i
        for j, b in enumerate(found, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (a != b))
    return row[-1]


def measured(name: str) -> tuple[int, int, Document]:
    """(characters expected, characters wrong, what was read) of one fixture."""
    expected = dense((FIXTURES / name).with_suffix(".txt").read_text("utf-8"))
    reader = Reader(Limits.of(Settings()))
    (document,) = reader.read_bytes((FIXTURES / name).read_bytes(), name)
    assert isinstance(document, Document), document.error
    return len(expected), wrong_characters(expected, dense(document.text)), document


def draw_boxes(picture: Path, target: Path) -> int:
    """Copies `picture` with a box around every line that OCR reads, red where it is doubtful; returns how many."""
    image = Image.open(picture).convert("RGB")
    pen = ImageDraw.Draw(image)
    lines = ocr.read_lines(np.asarray(image))
    for line in lines:
        corners = (line.box.x0, line.box.y0, line.box.x1, line.box.y1)
        pen.rectangle(corners, outline="#d32f2f" if line.confidence < ocr.DOUBTFUL else "#1565c0", width=3)
    image.save(target)
    return len(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boxes", type=Path, help="folder for pictures with boxes drawn")
    options = parser.parse_args(argv)
    out = sys.stdout.write
    out("| picture | characters | wrong | accuracy | lines | seconds |\n|---|--:|--:|--:|--:|--:|\n")
    for name in PICTURES:
        started = time.perf_counter()
        expected, wrong, document = measured(name)
        took = time.perf_counter() - started
        out(f"| {name} | {expected} | {wrong} | {1 - wrong / expected:.3f} | {len(document.blocks)} | {took:.1f} |\n")
    if options.boxes:
        options.boxes.mkdir(parents=True, exist_ok=True)
        for name in PICTURES:
            if not name.endswith(".pdf"):
                draw_boxes(FIXTURES / name, options.boxes / f"{Path(name).stem}-boxes.png")


if __name__ == "__main__":
    main()
