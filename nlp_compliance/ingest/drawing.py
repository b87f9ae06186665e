"""Words of DrawingML (ECMA-376, part 1, 20 and 21): what Word, PowerPoint and Excel draw alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

PARSER = etree.XMLParser(resolve_entities=False, no_network=True)
FORMULA = "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"
_MAIN = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
# Where charts keep the names of their series and categories, of one level or several; the last is that of newer kinds.
_CACHES = (f"{_CHART}strCache", f"{_CHART}multiLvlStrCache", "{*}strDim")
_POINTS = (f"{_CHART}v", "{http://schemas.microsoft.com/office/drawing/2014/chartex}pt")


def repeats(element: Any) -> bool:
    """Whether it is the copy for old readers of what stands before it."""
    return any(a.tag.endswith("}Fallback") for a in element.iterancestors())


def paragraphs(root: Any) -> Iterator[str]:
    """Texts of the paragraphs of a drawing, without the copies for old readers."""
    for paragraph in root.iter(f"{_MAIN}p"):
        if not repeats(paragraph):
            yield "".join(t.text or "" for t in paragraph.iter(f"{_MAIN}t", FORMULA) if not repeats(t))


def chart_words(root: Any) -> Iterator[str]:
    """Titles and typed labels, and the names of series and categories, each once: every series repeats them."""
    yield from paragraphs(root)
    yield from dict.fromkeys(v.text or "" for cache in root.iter(*_CACHES) for v in cache.iter(*_POINTS))
