"""Plain text in UTF-8, UTF-16, UTF-32 or GB18030."""

from __future__ import annotations

import codecs

from nlp_compliance.errors import TextEncodingError
from nlp_compliance.records import Block

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def marked_encoding(data: bytes) -> str | None:
    """The encoding that a byte order mark states."""
    return next((encoding for bom, encoding in _BOMS if data.startswith(bom)), None)


def decode(data: bytes) -> str:
    """Text of `data`: by its byte order mark, else UTF-8, else GB18030. Raises TextEncodingError when none fits."""
    if marked := marked_encoding(data):
        return _decoded(data, marked)
    for encoding in ("utf-8", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise TextEncodingError(
        "the bytes are neither UTF-8, UTF-16 or UTF-32 with a byte order mark, nor GB18030; save the text as UTF-8"
    )


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextEncodingError(
            f"the byte order mark says {encoding}, but {error.reason} at byte {error.start}"
        ) from error


def paragraph_blocks(text: str) -> tuple[Block, ...]:
    """One block for every line that is not blank."""
    blocks = []
    start = 0
    for line in text.split("\n"):
        if line.strip():
            blocks.append(Block(start, start + len(line)))
        start += len(line) + 1
    return tuple(blocks)
