"""Puts pieces of a source together into one text with blocks: the one place where offsets of blocks are made."""

from __future__ import annotations

from nlp_compliance.ingest.plain import named_damage
from nlp_compliance.records import Block, Box, Coverage, Document, Source


class Assembly:
    """Grows a document piece by piece. Pieces are joined by line feeds; blank pieces add nothing."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._unread: list[str] = []

    def add(
        self,
        text: str,
        kind: str = "paragraph",
        *,
        page: int | None = None,
        box: Box | None = None,
        confidence: float | None = None,
        visible: bool = True,
    ) -> None:
        """One block. Offsets are code points of the text that `document` will hold."""
        text = text.strip()
        if not text:
            return
        start = self._length
        self._parts.append(text)
        self._length += len(text) + 1
        self._blocks.append(Block(start, start + len(text), kind, page, box, confidence, visible))

    def unread(self, what: str) -> None:
        """Names, in Chinese, a part of the source that could not be read."""
        if what not in self._unread:
            self._unread.append(what)

    def embedded(self, where: str) -> None:
        """Names files that are kept inside of the source, at `where`."""
        self.unread(f"{where}嵌入了其他文件，未读取，请另行提交")

    def take(self, other: Document) -> None:
        """All blocks of another document behind those that are here, and what it names as unread."""
        for block in other.blocks:
            self.add(
                other.text[block.start : block.end],
                block.kind,
                page=block.page,
                box=block.box,
                confidence=block.confidence,
                visible=block.visible,
            )
        for what in other.coverage.unread:
            self.unread(what)

    @property
    def characters(self) -> int:
        return self._length

    def document(self, identifier: str, source: Source) -> Document:
        text = "\n".join(self._parts)
        coverage = Coverage.without((*self._unread, *named_damage(text)))
        return Document(identifier, text, tuple(self._blocks), source, coverage)
