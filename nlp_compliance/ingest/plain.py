"""Plain text in UTF-8, UTF-16, UTF-32, GB18030 or Big5."""

from __future__ import annotations

import codecs
import contextlib
import re
from itertools import islice

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
# Nearly any bytes are some character of either encoding; but of GB18030 people write the 3,755 of the first level of
# GB 2312 and its punctuation, of Big5 the 5,401 of its first level and its punctuation.
_PAIR = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
_COMMON_IN_GB18030 = re.compile(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]")
_COMMON_IN_BIG5 = re.compile(rb"[\xa1-\xc6][\x40-\x7e\xa1-\xfe]")
# Cantonese needs many rare characters of Big5; traditional ones in GB18030 look less common as Big5 than this.
_SHARE_OF_BIG5 = 0.7
_PAIRS_LOOKED_AT = 20_000
# What stands for bytes that are no character. In UTF-8 taken for it by mistake nearly all would be.
DAMAGED = "\ufffd"
_SHARE_DAMAGED = 0.1
# Of the other encodings, which take nearly any bytes for some character: a character cut off here and there.
_SHARE_CUT = 0.02


def named_damage(text: str) -> tuple[str, ...]:
    """What the coverage says of damaged characters in `text`, in Chinese; nothing where there are none."""
    count = text.count(DAMAGED)
    return (f"有{count}处字符已损坏，无法读取（文中为{DAMAGED}）",) if count else ()


def marked_encoding(data: bytes) -> str | None:
    """The encoding that a byte order mark states."""
    return next((encoding for bom, encoding in _BOMS if data.startswith(bom)), None)


def chinese_encoding(data: bytes) -> str:
    """GB18030 of the mainland, or Big5 of Taiwan and Hong Kong where more of `data` is common characters in that."""
    pairs, gb18030, big5 = _common_pairs(data)
    return "big5hkscs" if big5 > max(gb18030, _SHARE_OF_BIG5 * pairs) else "gb18030"


def _common_pairs(data: bytes) -> tuple[int, int, int]:
    """Pairs of bytes that may be a character, and how many of them are a common one of GB18030 and of Big5."""
    pairs = [found.group() for found in islice(_PAIR.finditer(data), _PAIRS_LOOKED_AT)]
    gb18030, big5 = (
        sum(common.fullmatch(pair) is not None for pair in pairs) for common in (_COMMON_IN_GB18030, _COMMON_IN_BIG5)
    )
    return len(pairs), gb18030, big5


def nearly_whole(text: str) -> bool:
    """Whether bytes that were read as UTF-8 to `text` were that, with a character cut here and there."""
    return text.count(DAMAGED) <= _SHARE_DAMAGED * sum(not c.isascii() for c in text)


def decode(data: bytes) -> str:
    """Text of `data`: by its byte order mark, else UTF-8, else GB18030 or Big5; damaged characters become U+FFFD.

    Raises TextEncodingError when none fits.
    """
    if marked := marked_encoding(data):
        return _decoded(data, marked)
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode("utf-8")
    # A crawler that cuts one character must not cost the whole text. Asked before GB18030, which takes most bytes of
    # Chinese UTF-8 for characters of its own.
    text = data.decode("utf-8", "replace")
    if nearly_whole(text):
        return text
    encoding = chinese_encoding(data)
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode(encoding)
    text = data.decode(encoding, "replace")
    pairs, *common = _common_pairs(data)
    if max(common) > _SHARE_OF_BIG5 * pairs and text.count(DAMAGED) <= _SHARE_CUT * sum(not c.isascii() for c in text):
        return text
    raise TextEncodingError(
        "the bytes are neither UTF-8, UTF-16 or UTF-32 with a byte order mark, nor GB18030 or Big5; save the text as UTF-8"
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
